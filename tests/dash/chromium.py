"""Headless Chromium, driven by its own protocol over a WebSocket: just what the page's tests need."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

START_WITHIN = 40.0
ANSWER_WITHIN = 40.0


def find_chromium() -> str | None:
    """Debian's name, then others'."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Page:
    """One tab, and what it complained about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.requested: list[str] = []

    async def listen(self) -> None:
        """Sort what comes until the tab is gone."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._answers.pop(told["id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(told)
                continue
            match told["method"]:
                case "Runtime.exceptionThrown":
                    details = told["params"]["exceptionDetails"]
                    self.complaints.append(str(details.get("exception", {}).get("description", details["text"])))
                case "Log.entryAdded" if told["params"]["entry"]["level"] == "error":
                    self.complaints.append(told["params"]["entry"]["text"])
                case "Network.requestWillBeSent":
                    self.requested.append(told["params"]["request"]["url"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(ANSWER_WITHIN):
            told = await answer
        assert "error" not in told, f"{method}: {told['error']}"
        found: dict[str, Any] = told["result"]
        return found

    async def open(self, address: str) -> None:
        await self.call("Page.navigate", url=address)

    async def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, script: str, within: float = 40.0) -> Any:
        """Evaluate until it is true: what a page does next is seen only by looking."""
        deadline = asyncio.get_running_loop().time() + within
        while not (found := await self.run(script)):
            if asyncio.get_running_loop().time() > deadline:
                text = await self.run("document.body.innerText")
                raise AssertionError(f"never true: {script}\n{text[:3000]}\n{self.complaints}")
            await asyncio.sleep(0.05)
        return found

    async def type(self, name: str, text: str) -> None:
        """Into a filter's field."""
        field = f"document.getElementById('filters').elements[{json.dumps(name)}]"
        await self.run(
            f"{field}.value = {json.dumps(text)}, {field}.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )

    async def click(self, selector: str) -> None:
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def picture(self, width: int, height: int, *, dark: bool = False) -> bytes:
        """A PNG of what is seen."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        told = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(told["data"])


class Browser:
    """A running Chromium."""

    def __init__(self, client: aiohttp.ClientSession, address: str, group: asyncio.TaskGroup) -> None:
        self._client, self._address, self._group = client, address, group
        self._listening: list[asyncio.Task[None]] = []
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def page(self) -> Page:
        async with self._client.put(f"{self._address}/json/new?about:blank") as answer:
            target = await answer.json()
        socket = await self._client.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
        self._sockets.append(socket)
        page = Page(socket)
        self._listening.append(self._group.create_task(page.listen(), name="listen to a tab"))
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        return page

    async def close(self) -> None:
        for socket in self._sockets:
            await socket.close()
        for task in self._listening:
            task.cancel()


@asynccontextmanager
async def open_browser(program: str, profile: Path) -> AsyncIterator[Browser]:
    words = [
        program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run",
        "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-extensions", "--no-default-browser-check", "--password-store=basic",
        "--disable-lcd-text",  # pictures are smaller so
        *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank",
    ]  # fmt: skip
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, stdout=null, stderr=null, start_new_session=True)
    try:
        address = await _address(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
            opened = Browser(client, address, group)
            try:
                yield opened
            finally:
                await opened.close()
    finally:
        with contextlib.suppress(ProcessLookupError):  # its group: renderers and the rest are its children
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _address(file: Path, process: asyncio.subprocess.Process) -> str:
    deadline = asyncio.get_running_loop().time() + START_WITHIN
    while len(lines := _lines(file)) < 2:
        assert process.returncode is None, f"chromium ended with {process.returncode}"
        assert asyncio.get_running_loop().time() < deadline, "chromium did not start"
        await asyncio.sleep(0.05)
    return f"http://127.0.0.1:{lines[0]}"


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
