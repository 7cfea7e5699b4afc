"""Signals and errors become exit statuses; each test signals a real process."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interceptor.cli.running import first_cause
from interceptor.errors import InterceptorError

PRELUDE = """
import asyncio, sys
from interceptor.cli.words import PlainWords
from interceptor.cli.running import run
from interceptor.errors import InterceptorError

async def session():
    print("started", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await undo()
        print("restored", flush=True)

async def undo():
    await asyncio.sleep(0)
"""
GO = "\nsys.exit(run(session, PlainWords(sys.stderr, sys.stdout)))\n"


@contextmanager
def started(body: str = "") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + body + GO], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


def ended(body: str, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + body + GO, *args], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_undoes_first(number: signal.Signals) -> None:
    with started() as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (128 + number, "restored\n", "")


def test_signal_works_on_asyncio_too() -> None:
    with started("import os; os.environ['INTERCEPTOR_UVLOOP'] = '0'") as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 143


# The undo waits for ever, on the loop, so that only the third Ctrl-C can end it.
ENDLESS_UNDO = """
async def undo():
    print("undoing", flush=True)
    await asyncio.Event().wait()
"""


def test_second_signal_only_warns() -> None:
    with started(ENDLESS_UNDO) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "undoing\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert "still restoring" in process.stderr.readline()
        assert process.poll() is None
        while process.poll() is None:  # two within two seconds are what leaves: a busy machine may need more of them
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")


def test_ignored_signal_stays_ignored() -> None:
    with started("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 143


def test_own_status_is_returned() -> None:
    assert ended("async def session(): return 7") == (7, "")


def test_error_is_one_line() -> None:
    body = "async def session(): raise InterceptorError('no pods', hint='kubectl get pods')"
    assert ended(body) == (1, "error: no pods; kubectl get pods\n")


def test_failed_undo_is_told() -> None:
    body = "async def undo(): raise InterceptorError('not restored')"
    with started(body) as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "error: not restored\n")


def test_bug_is_one_line() -> None:
    status, err = ended("async def session(): raise KeyError('spec')")
    assert status == 1
    assert err == ("error: unexpected KeyError: 'spec'; run it again with -v for the traceback, and please report it\n")


def test_verbose_shows_traceback() -> None:
    body = """
from interceptor.cli.main import start
import click
from interceptor.cli.options import verbose_option
async def session(): raise KeyError('spec')
@click.command()
@verbose_option
def command(): return run(session, PlainWords(sys.stderr, sys.stdout))
sys.exit(start(command, ["-v"], prog_name="x"))
"""
    status, err = ended(body)
    assert status == 1
    assert "Traceback (most recent call last)" in err
    assert "error: unexpected KeyError" in err


def test_group_shows_its_cause() -> None:
    body = """
async def wait(): await asyncio.Event().wait()
async def fail(): raise InterceptorError("cause")
async def session():
    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        async with asyncio.TaskGroup() as inner:
            inner.create_task(fail())
"""
    assert ended(body) == (1, "error: cause\n")


def test_person_comes_first() -> None:
    wanted = InterceptorError("no right")
    group = BaseExceptionGroup("a", [ValueError("b"), ExceptionGroup("c", [OSError("d"), wanted])])
    assert first_cause(group) is wanted
    assert os.strerror(2) in str(first_cause(ExceptionGroup("a", [FileNotFoundError(2, os.strerror(2))])))
