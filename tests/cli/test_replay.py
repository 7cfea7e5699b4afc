"""The replay command, from options to exit status."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest

from interceptor.cli.main import start
from interceptor.cli.replay import Address, Speed, replay
from tests.mesh.traffic.test_replay import POST, write


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = b'{"a": 1}' if "q=2" in self.path else b"{}"
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def local() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_same_and_different(tmp_path: Path, local: str, capsys: pytest.CaptureFixture[str]) -> None:
    same = write(tmp_path / "same.jsonl", POST, POST)
    other = write(tmp_path / "other.har", POST, {**POST, "path": "/books?q=2"}, {**POST, "grpc_status": 0})
    assert start(replay, [str(same), "--to", local, "--speed", "max", "--diff"], prog_name="x") == 0
    assert "2 requests sent; 2 answers as recorded" in capsys.readouterr().err
    assert start(replay, [str(other), "--to", local, "--diff"], prog_name="x") == 1
    out, err = capsys.readouterr()
    assert "body.a: missing -> 1" in out
    assert "2 requests sent; 1 answers differ; 1 left out: gRPC; sent without authorization" in err
    assert start(replay, [str(other), "--to", local, "-o", "json"], prog_name="x") == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [200, 200]


def test_nothing_to_send(tmp_path: Path, local: str, capsys: pytest.CaptureFixture[str]) -> None:
    empty = write(tmp_path / "a.jsonl")
    assert start(replay, [str(empty), "--to", local], prog_name="x") == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {empty} holds no requests"]
    grpc = write(tmp_path / "b.jsonl", {**POST, "grpc_status": 0})
    assert start(replay, [str(grpc), "--to", local], prog_name="x") == 1
    assert "nothing in" in capsys.readouterr().err


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:  # bound, and deaf
        sock.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{sock.getsockname()[1]}"
        assert start(replay, [str(write(tmp_path / "a.jsonl", POST)), "--to", to], prog_name="x") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: nobody answers at {to}: ")
    assert "--to HOST:PORT" in err


@pytest.mark.parametrize("name", ["a.jsonl", "a.har"])
def test_cut_end_is_left_out(tmp_path: Path, local: str, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """As by a tap that was killed."""
    file = write(tmp_path / name, POST, POST, {**POST, "path": "/third"})
    text = file.read_text()
    file.write_text(text[: text.index("/third") + 3])
    assert start(replay, [str(file), "--to", local, "--speed", "max", "--diff"], prog_name="x") == 0
    told = capsys.readouterr().err
    assert f"note: {file} ends in the middle of a request" in told
    assert "2 requests sent; 2 answers as recorded" in told


@pytest.mark.parametrize(("text", "speed"), [("1x", 1.0), ("0.5x", 0.5), ("max", 0.0)])
def test_speeds(text: str, speed: float) -> None:
    assert Speed().convert(text, None, None) == speed


@pytest.mark.parametrize("text", ["0x", "x", "-1x", "fast"])
def test_no_speeds(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Speed().convert(text, None, None)


def test_addresses() -> None:
    read = [Address().convert(text, None, None) for text in ("8080", "localhost:80", "http://[::1]:80/")]
    assert read == [("127.0.0.1", 8080), ("localhost", 80), ("::1", 80)]
    with pytest.raises(click.BadParameter):
        Address().convert("localhost", None, None)
