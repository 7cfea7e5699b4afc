"""The demo's shop, one small service of it: `python shop.py web|orders|prices`. Runs in pods and on the developer's machine.

Standard library only and no import of ours: a ConfigMap carries this very file into the pods. web asks orders, orders
asks prices; each answer lists who served, where and in which version. `--bind` and `--port` say where to listen;
`--draft` is the version under development; `visit` sends one request to web and prints the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8080
_PRICES = {"tea": 420, "coffee": 560, "cake": 390}
_AMOUNT = 3
_DISCOUNT = 20  # per cent; what the draft of orders adds
_PATIENCE = 30.0


def resolve(host: str) -> str:
    """Look up a service: in INTERCEPTOR_HOSTS where the embedded cluster has no DNS, else as everybody does."""
    path = os.environ.get("INTERCEPTOR_HOSTS")
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                address, *names = line.split()
                if host in names:
                    return address
    return host


def ask(service: str, path: str) -> dict[str, Any]:
    """Ask another service of the shop; through the proxy where there is one, which then resolves the name."""
    host = service if os.environ.get("http_proxy") else resolve(service)
    request = urllib.request.Request(f"http://{host}:{PORT}{path}", headers={"Host": f"{service}:{PORT}"})
    with urllib.request.urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310  (http only)
        answer: dict[str, Any] = json.load(response)
    return answer


class Shop:
    """One service."""

    def __init__(self, role: str, *, draft: bool, version: str, where: str) -> None:
        self.role = role
        self.draft = draft
        self._served_by = {"service": role, "where": where, "version": version}

    def answer(self, item: str) -> dict[str, Any]:
        """Answer a request for an item."""
        if self.role == "prices":
            return {"item": item, "cents": _PRICES[item], "path": [self._served_by]}
        if self.role == "orders":
            price = ask("prices", f"/{item}")
            total = price["cents"] * _AMOUNT
            if self.draft:
                total -= total * _DISCOUNT // 100
            return {"item": item, "amount": _AMOUNT, "cents": total, "path": [self._served_by, *price["path"]]}
        order = ask("orders", f"/{item}")
        return {**order, "path": [self._served_by, *order["path"]]}


def visit(item: str) -> None:
    """Be a customer."""
    try:
        answer = ask("web", f"/{item}")
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error.code}: {error.read().decode(errors='replace').strip()}") from error
    except OSError as error:
        raise SystemExit(str(error)) from error
    sys.stdout.write(json.dumps(answer) + "\n")


def as_text(answer: dict[str, Any]) -> str:
    """Spell an answer for people."""
    lines = [f"{answer.get('amount', 1)} x {answer['item']}: {answer['cents'] / 100:.2f}"]
    lines += [f"  {hop['service']:<8}{hop['version']:<8}{hop['where']}" for hop in answer["path"]]
    return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    """`/` or `/tea` is a request to the shop, `/healthz` the probe's."""

    shop: Shop

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/healthz":
            self._send(200, "text/plain", "ok\n")
            return
        item = self.path.strip("/") or "tea"
        if item not in _PRICES:
            self._send(404, "text/plain", f"the shop has no {item}; try {', '.join(_PRICES)}\n")
            return
        try:
            answer = self.shop.answer(item)
        except (OSError, ValueError) as error:
            self._send(502, "text/plain", f"{self.shop.role}: {error}\n")
            return
        if "text" in self.headers.get("Accept", "") or "curl" in self.headers.get("User-Agent", ""):
            self._send(200, "text/plain", as_text(answer))
        else:
            self._send(200, "application/json", json.dumps(answer))

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests, but not the probes'."""
        if not self.path.startswith("/healthz"):
            super().log_message(format, *args)


class Server(ThreadingHTTPServer):
    """The server; doesn't look up its own name, which takes seconds where there is no DNS."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without `getfqdn`."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "shop", self.socket.getsockname()[1]


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="One service of the demo's shop.")
    parser.add_argument("role", choices=("web", "orders", "prices", "visit"))
    parser.add_argument("item", nargs="?", default="tea", choices=tuple(_PRICES), help="what a visit asks for")
    parser.add_argument("--bind", default=os.environ.get("INTERCEPTOR_BIND", ""))
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--draft", action="store_true", help="the version under development: 20 per cent off")
    parser.add_argument("--where", default=f"pod {os.environ.get('HOSTNAME', '?')}")
    options = parser.parse_args()
    if options.role == "visit":
        visit(options.item)
        return
    version = "draft" if options.draft else "v1"
    Handler.shop = Shop(options.role, draft=options.draft, version=version, where=options.where)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server((options.bind, options.port), Handler).serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
