"""Scenarios 11 and 12: long-lived streams pass unchanged: gRPC over h2c, WebSocket, plain TCP with half-close."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e import manifests
from e2e.scene import LONG, Scene

IDLE = 600 if LONG else 30  # seconds of silence in the middle of a stream


@pytest.mark.timeout(IDLE + 270)
def test_streams_pass_unchanged(scene: Scene) -> None:
    """Three kinds through one tunnel, the others while the WebSocket is silent: all stay in order, and end as they should."""
    grpc, websocket, lines = 8080, 8081, 8082
    ports = [{"containerPort": port} for port in (grpc, websocket, lines)]
    scene.deploy(manifests.deployment(scene.container(*ports)), manifests.service())
    scene.tools()
    servers = {port: scene.server(kind) for port, kind in ((grpc, "grpc"), (websocket, "websocket"), (lines, "lines"))}
    chosen = [word for port, server in servers.items() for word in ("--port", f"{server.port}:{port}")]
    with scene.unchanged(), ThreadPoolExecutor(1, "silent") as beside:
        intercept = scene.started("deploy/echo", *chosen)
        address = scene.pod_address()
        seen = scene.ask("client", "lines", address, lines, 1000, 2)
        assert seen == {"back": 1000, "last": "LOCAL saw 1000"}
        servers[lines].wait_line(lambda line: line.text == "end of input after 1000", 60, "end of input")
        silent = beside.submit(
            scene.ask, "streams", "websocket", f"http://{address}:{websocket}/", 1000, IDLE, timeout=IDLE + 90
        )
        seen = scene.ask("streams", "grpc", f"{address}:{grpc}", 1000, 2)
        assert seen == {"unary": "LOCAL one", "down": True, "both": True}
        assert silent.result() == {"in_order": 1000, "close_code": 1000}
        intercept.stop()
