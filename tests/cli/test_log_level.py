"""`interceptor log-level` as typed, and its lines as shown."""

from __future__ import annotations

import json

import pytest

from interceptor.cli.log_level import log_level
from interceptor.cli.log_lines import JsonSink, TextSink, Writer, plain
from interceptor.cli.main import start
from interceptor.kube.logs import LogLine
from interceptor.session.events import Event
from interceptor.session.log_level import LogLevelOptions

LINE = LogLine("2026-11-23T12:14:22.849950572Z", "[   0.1s] DEBUG \x1b[31mred\ttab")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a", "debgu"], "'debgu' is no log level; did you mean debug?"),
        (["a", "--for", "10m"], "--for needs a LEVEL to set, or --follow"),
        (["a", "debug", "--for", "soon"], "'soon' is not a time"),
        (["a", "debug", "--for", "9999m"], "--for takes at most 24 hours"),
        (["a", "--admin-port", "0"], "--admin-port"),
        ([], "Missing argument 'TARGET'"),
    ],
)
def test_wrong_usage(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(log_level, words, prog_name="interceptor log-level") == 2
    said = capsys.readouterr().err
    assert error in said
    assert said.count("\n") == 1


async def test_lines_name_their_pod(capsys: pytest.CaptureFixture[str]) -> None:
    notes: list[Event] = []
    async with TextSink(LogLevelOptions("a", follow=True), notes.append) as sink:
        await sink.line("orders-1", LINE)
        await sink.line("orders-1-longer", LINE)
        await sink.line("orders-1", LINE)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "orders-1 12:14:22.849 [   0.1s] DEBUG \\x1b[31mred\ttab"
    assert lines[2].startswith("orders-1        12:14:22.849")


async def test_pods_have_their_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    async with TextSink(LogLevelOptions("a", follow=True), lambda _: None) as sink:
        for pod in ("one", "two", "one"):
            await sink.line(pod, LINE)
    first, second, third = (line.partition("m")[0] for line in capsys.readouterr().out.splitlines())
    assert first == third != second


async def test_json_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    async with JsonSink(LogLevelOptions("a", follow=True)) as sink:
        await sink.line("orders-1", LINE)
        sink.note("gone")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [
        {"event": "log", "pod": "orders-1", "time": LINE.stamp, "text": LINE.text},
        {"event": "note", "text": "gone"},
    ]


async def test_many_lines_wait_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    writer = Writer()
    for number in range(2500):
        await writer.put_in_turn(str(number))
    await writer.close()
    assert capsys.readouterr().out.split() == [str(number) for number in range(2500)]


def test_terminals_obey_no_log() -> None:
    assert plain("a\tb\x07\x1b]0;x\u202e") == "a\tb\\x07\\x1b]0;x\\x202e"
