"""Scenarios 11 and 12: long-lived streams pass unchanged: gRPC over h2c, WebSocket, plain TCP with half-close."""

import pytest

from e2e.scene import LONG, Scene

IDLE = 600 if LONG else 30  # seconds of silence in the middle of a stream
pytestmark = pytest.mark.timeout(IDLE + 180)


def test_grpc_calls_and_streams(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    server = scene.server("grpc")
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{server.port}:8080")
        seen = scene.ask("streams", "grpc", f"{scene.pod_address()}:8080", 1000, 2)
        assert seen == {"unary": "LOCAL one", "down": True, "both": True}
        intercept.stop()


def test_websocket_stays_open(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    server = scene.server("websocket")
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{server.port}:8080")
        seen = scene.ask("streams", "websocket", f"http://{scene.pod_address()}:8080/", 1000, IDLE, timeout=IDLE + 60)
        assert seen == {"in_order": 1000, "close_code": 1000}
        intercept.stop()


def test_half_close_both_ways(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    server = scene.server("lines")
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{server.port}:8080")
        seen = scene.ask("client", "lines", scene.pod_address(), 8080, 1000, 2)
        assert seen == {"back": 1000, "last": "LOCAL saw 1000"}
        server.wait_line(lambda line: line.text == "end of input after 1000", 60, "end of input")
        intercept.stop()
