"""The live page of an intercept on a real cluster, in a real browser.

`make picture` (INTERCEPTOR_PICTURE=FILE) keeps what is on the page as the README shows it.
"""

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from e2e import manifests
from e2e.process import Process
from e2e.scene import Scene
from tests.dash.chromium import Page, find_chromium, open_browser

# Answers as an order service might: payments fail now and then, invoices take their time.
ORDERS = """
import http.server, json, random, sys, time
class Orders(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status = 503 if self.path.endswith("/pay") and random.random() < 0.3 else 200
        time.sleep(random.uniform(0.12, 0.25) if self.path.endswith("/invoice") else random.uniform(0.002, 0.008))
        text = json.dumps({"order": self.path.split("/")[2:3], "state": "paid" if status == 200 else "the bank is away"})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    do_GET = do_POST = answer
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Orders)
print("listening", server.server_port, flush=True)
server.serve_forever()
"""
# Asks without an end, each request in a trace of its own.
SHOP = """
import http.client, random, secrets, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
random.seed(7)
KINDS = ["GET /orders/%d"] * 6 + ["POST /orders"] * 2 + ["POST /orders/%d/pay"] * 3 + ["GET /orders/%d/invoice"]
while True:
    method, path = random.choice(KINDS).split()
    path = path % random.randrange(1000, 9999) if "%" in path else path
    trace = {"traceparent": "00-%s-%s-01" % (secrets.token_hex(16), secrets.token_hex(8)), "Content-Type": "application/json",
             "Authorization": "Bearer not-for-the-page"}
    try:
        connection = http.client.HTTPConnection("orders", 80, timeout=10)
        connection.request(method, path, b'{"book": 7}' if method == "POST" else None, trace)
        connection.getresponse().read()
        connection.close()
    except OSError:
        pass
    time.sleep(random.uniform(0.01, 0.1))
"""
LOOKS_FOR = float(os.environ.get("INTERCEPTOR_PICTURE_AFTER", "150"))  # seconds, so that the charts have some past


@pytest.mark.timeout(500)
async def test_dash_shows_the_intercept(scene: Scene, tmp_path: Path) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium, or set CHROMIUM)")
    picture = os.environ.get("INTERCEPTOR_PICTURE")
    app = scene.container()
    shop = {**app, "name": "shop", "command": ["python3", "-u", "-c", SHOP], "ports": []}
    del shop["readinessProbe"]
    scene.deploy(
        manifests.deployment(app, name="orders", replicas=2),
        manifests.service("orders", app="orders"),
        manifests.deployment(shop, name="web"),
    )
    with scene.unchanged():
        local = scene.stack.enter_context(Process([sys.executable, "-c", ORDERS, "0"]))
        port = local.wait_line(lambda line: line.text.startswith("listening"), 90, "local process").text.split()[1]
        intercept = scene.started("deploy/orders", "--port", f"{port}:8080", "--metrics", "0")
        dash = scene.run("dash", "deploy/orders", "-n", scene.namespace, "--no-browser", "-o", "json")
        line = dash.wait_line(lambda line: line.text.startswith("{"), 90, "address")
        address = json.loads(line.text)["address"]
        async with open_browser(program, tmp_path / "profile") as browser:
            page = await browser.page()
            await page.open(address)
            await page.until("document.getElementById('state')?.textContent === 'live'")
            await page.until("document.querySelectorAll('#rows tr.failed').length > 2", 90)
            for route in ("GET /orders/{id}", "POST /orders/{id}/pay", "GET /orders/{id}/invoice"):
                await page.until(f"document.getElementById('routes-rows').innerText.includes('{route}')", 90)
            await page.until("document.getElementById('rows').innerText.includes('deploy/web')", 90)
            hops = "document.getElementById('hops').innerText"
            await page.until(f"{hops}.split('local process').length === 3 && !{hops}.includes('✗')", 90)
            assert await page.run("document.querySelector('#rows code').textContent.length === 8")
            await page.click("#pause")
            await page.click("#rows tr.failed button")
            await page.until("document.getElementById('detail-body').innerText.includes('the bank is away')")
            await page.click("#replay")
            told = await page.until("document.querySelector('#replayed h3')?.textContent")
            assert f"Replayed to 127.0.0.1:{port}" in told
            assert "not-for-the-page" not in await page.run("document.documentElement.outerHTML")
            if picture:
                await page.click("#close")
                await page.click("#pause")
                await asyncio.sleep(LOOKS_FOR)
                await keep(page, Path(picture))
            assert page.complaints == []
        note = intercept.wait_line(lambda line: "metrics are at" in line.text, 60, "metrics")
        text = await asyncio.to_thread(fetch, json.loads(note.text)["metrics"])
        assert 'route="POST /orders/{id}/pay",service="",status="503"' in text
        intercept.stop()
        dash.close()


async def keep(page: Page, file: Path) -> None:
    """A picture of the page's upper end, narrow enough for a README."""
    await page.run("window.scrollTo(0, 0)")
    await asyncio.to_thread(file.write_bytes, await page.picture(1200, 1000))


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
