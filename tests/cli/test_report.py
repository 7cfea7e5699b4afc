"""The three Tellers print what scripts and people rely on; terminals are real pseudo-terminals."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest

from interceptor.cli.jsonlines import JsonLines
from interceptor.cli.look import Look
from interceptor.cli.words import PlainWords, ScreenWords
from interceptor.errors import InterceptorError
from interceptor.session.events import Event

SWAPPED = Event("swapped", "deploy/orders: 2 pods run the agent", 1.94, {"pods": ["a", "b"]})


def test_plain_words_are_lines() -> None:
    words = io.StringIO()
    teller = PlainWords(words, io.StringIO())
    with teller.busy("swapping"):
        teller.tell(SWAPPED)
    teller.tell(Event("ready", "go"))
    teller.fail(InterceptorError("no such workload", hint="kubectl get deploy"))
    assert words.getvalue().splitlines() == [
        "swapped   deploy/orders: 2 pods run the agent (1.9 s)",
        "ready     go",
        "error: no such workload; kubectl get deploy",
    ]


def test_json_lines_are_stable() -> None:
    data = io.StringIO()
    teller = JsonLines(data)
    teller.tell(SWAPPED)
    teller.fail(InterceptorError("no such workload", hint="kubectl get deploy"))
    swapped, failed = map(json.loads, data.getvalue().splitlines())
    assert list(swapped) == ["event", "text", "seconds", "time", "pods"]
    assert (swapped["event"], swapped["seconds"], swapped["pods"]) == ("swapped", 1.94, ["a", "b"])
    assert swapped["time"].endswith("Z")
    assert (failed["event"], failed["text"], failed["hint"]) == ("failed", "no such workload", "kubectl get deploy")
    assert failed["exit_status"] == 1


def test_details_never_hide_fields() -> None:
    data = io.StringIO()
    JsonLines(data).tell(Event("note", "x", details={"event": "ready", "path": os.devnull, "odd": {1, 2}.__class__}))
    assert json.loads(data.getvalue())["event"] == "note"


def test_plan_goes_to_stdout() -> None:
    words, data = io.StringIO(), io.StringIO()
    plan = {"patch of deployments/orders": [{"op": "test"}], "missing rights": ["patch deployments"], "objects": []}
    PlainWords(words, data).tell(Event("planned", "nothing was changed", details={"plan": plan}))
    assert words.getvalue() == "planned   nothing was changed\n"
    assert data.getvalue().splitlines() == [
        "# patch of deployments/orders", "[", "  {", '    "op": "test"', "  }", "]",
        "# missing rights", "patch deployments", "# objects", "none",
    ]  # fmt: skip


def test_closed_reader_is_survived() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(os.dup(writing), "w", buffering=1) as stream:
        teller = JsonLines(stream)
        teller.tell(SWAPPED)
        teller.tell(SWAPPED)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    os.close(writing)


@pytest.mark.parametrize(("marks", "mark"), [(True, "✓"), (False, "+")])
def test_screen_words_have_marks(marks: bool, mark: str) -> None:
    words = io.StringIO()
    teller = ScreenWords(Look(True, False, marks), words, io.StringIO())
    teller.tell(SWAPPED)
    assert words.getvalue() == f"{mark} swapped   deploy/orders: 2 pods run the agent   1.9 s\n"


def test_spinner_leaves_nothing() -> None:
    words = io.StringIO()
    teller = ScreenWords(Look(True, False, True), words, io.StringIO())
    with teller.busy("one"), teller.busy("two"):
        teller.tell(Event("note", "between"))
    teller.close()
    assert "between" in words.getvalue()
    assert words.getvalue().rindex("\x1b[?25h") > words.getvalue().rindex("\x1b[?25l")


def test_spinner_makes_room() -> None:
    words = io.StringIO()
    teller = ScreenWords(Look(True, False, True), words, io.StringIO())
    with teller.busy("before"), teller.shared():
        at_first = len(words.getvalue())
        with teller.busy("meanwhile"):
            teller.tell(Event("note", "told"))
        assert words.getvalue()[at_first:] == "· note      told\n"
    assert "meanwhile" not in words.getvalue()


SCRIPT = """
import sys
from interceptor.cli.report import open_teller
from interceptor.session.events import Event
with open_teller(sys.argv[1]) as teller, teller.busy("working"):
    teller.tell(Event("ready", "here", 0.5))
print("afterwards")
"""


def on_terminal(environ: Mapping[str, str]) -> str:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "text"],
        stderr=slave,
        stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm", **environ},
    )
    os.close(slave)
    said = b""
    with os.fdopen(master, "rb", buffering=0) as terminal:
        while True:
            try:
                said += terminal.read(4096)
            except OSError:  # EIO: the other end is closed
                break
    assert process.wait(30) == 0
    return said.decode()


def test_terminal_gets_colours() -> None:
    said = on_terminal({})
    assert "\x1b[32m✓ ready" in said
    assert "working" in said


def test_no_color_is_honoured() -> None:
    said = on_terminal({"NO_COLOR": "1"})
    assert "✓ ready     here" in said
    assert "\x1b[3" not in said


def test_dumb_terminal_gets_lines() -> None:
    assert on_terminal({"TERM": "dumb"}) == "ready     here (0.5 s)\r\n"


def test_ascii_terminal_gets_ascii() -> None:
    said = on_terminal({"PYTHONIOENCODING": "ascii"})
    assert "+ ready" in said


def test_colour_can_be_forced() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "text"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "NO_COLOR": "", "CLICOLOR_FORCE": "1"},
    )
    assert done.stderr.startswith("\x1b[32m")
    assert "working" not in done.stderr


def test_json_owns_stdout() -> None:
    script = SCRIPT.replace(
        "teller.tell", "sys.stdout.flush(); __import__('os').system('echo from a child'); teller.tell"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "json"], capture_output=True, text=True, timeout=30, check=True
    )
    line, after = done.stdout.splitlines()
    assert json.loads(line)["event"] == "ready"
    assert after == "afterwards"
    assert done.stderr == "from a child\n"
