"""The figures of a living session, as a Prometheus scrapes them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys

import aiohttp
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from interceptor.errors import InterceptorError
from interceptor.session.options import HomeOptions, RunOptions
from interceptor.session.run import run
from interceptor.web.loopback import reserve
from tests.session.http import caller, http_process
from tests.session.scene import Recorder, Scene

ACCEPTED = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TYPES = {ACCEPTED: "application/openmetrics-text", "text/plain;version=0.0.4": "text/plain"}


async def scrape(address: str, accept: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(address, headers={"Accept": accept}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(TYPES[accept])
        return await answer.text()


async def families(address: str) -> dict[str, Metric]:
    text = await scrape(address, ACCEPTED)
    return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


async def reconnects(address: str) -> float:
    return (await families(address))["interceptor_tunnel_reconnects"].samples[0].value


def lint(text: str) -> str:
    """What promtool has against it; nothing where there is no promtool."""
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        return ""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.slow
async def test_session_is_measured(orders: Scene) -> None:
    async with http_process() as port, orders.intercepting(ports=(f"{port}:8080",), metrics=0) as running:
        told = await running.until("note", "metrics are at")
        address = str(told.details["metrics"])
        await running.until("ready")
        async with caller(orders) as ask:
            for number in range(6):
                assert (await ask("GET", f"/books/{number}")).status == 200
            assert (await ask("GET", "/fail")).status == 500
        found = await families(address)
        counted = {
            (sample.labels["route"], sample.labels["status"]): sample.value
            for sample in found["interceptor_requests"].samples
        }
        assert counted == {("GET /books/{id}", "200"): 6, ("GET /fail", "500"): 1}
        (up,) = found["interceptor_tunnel_up"].samples
        assert up.value == 1
        (probe,) = found["interceptor_probe_round_trip_seconds"].samples
        assert (0 < probe.value < 5, probe.labels) == (True, up.labels)
        (about,) = found["interceptor_session"].samples
        assert (about.labels["name"], about.labels["namespace"]) == ("orders", orders.api.namespace)
        assert found["interceptor_tunnel_reconnects"].samples[0].value == 0
        assert lint(await scrape(address, "text/plain;version=0.0.4")) == ""
        await orders.cut("portforward")
        await orders.api.eventually(lambda: reconnects(address), lambda count: count == 1)
        await running.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await scrape(address, ACCEPTED)


ASKS = """
import http.client, os, sys, time, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["http_proxy"])
connection = http.client.HTTPConnection(proxy.hostname, proxy.port)
connection.request("GET", f"http://127.0.0.1:{sys.argv[1]}/books/7")
assert connection.getresponse().read()
time.sleep(600)
"""


@pytest.mark.slow
async def test_run_is_measured(orders: Scene) -> None:
    heard = Recorder()
    async with http_process() as port, asyncio.TaskGroup() as group:
        options = RunOptions(
            f"deploy/{orders.name}",
            (sys.executable, "-c", ASKS, str(port)),
            metrics=0,
            home=HomeOptions(mode="proxy"),
            access=orders.options().access,
        )
        running = group.create_task(run(options, heard), name="the run")

        names = ("direction", "service", "route", "status")

        async def counted() -> dict[str, float]:
            assert not running.done(), heard.events
            note = heard.find("note", "metrics are at")
            found = await families(str(note.details["metrics"])) if note is not None else {}
            samples = found["interceptor_requests"].samples if found else []
            return {" ".join(sample.labels[name] for name in names): sample.value for sample in samples}

        found = await orders.api.eventually(counted, bool)
        assert found == {f"outbound 127.0.0.1:{port} GET /books/{{id}} 200": 1}
        running.cancel()
    await orders.expect_as_before()


async def test_taken_port_changes_nothing(orders: Scene) -> None:
    with reserve(0, "--metrics") as sock:
        taken = sock.getsockname()[1]
        async with orders.intercepting(metrics=taken) as running:
            await running.ended()
    assert isinstance(running.error, InterceptorError)
    assert f":{taken}" in running.error.message
    assert running.heard.names() == ["planned"]
    await orders.expect_as_before()
    with socket.create_server(("127.0.0.1", taken)):
        pass
