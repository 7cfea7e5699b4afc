"""Runs a command's coroutine to its exit status: the loop, the signals, the errors. Commands call `run`.

The first signal cancels the coroutine, once: what it has to undo then runs in its own `finally` blocks, and no
second cancellation ever cuts them short. Who can't wait presses Ctrl-C twice more and leaves the rest to the
agents in the pods.
"""

import asyncio
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from interceptor.cli.options import is_verbose
from interceptor.cli.report import Reporter
from interceptor.errors import InterceptorError
from interceptor.session.events import Event

LEAVE_WITHIN = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(command: Callable[[], Coroutine[Any, Any, int]], reporter: Reporter, *, leave_to: str = "the agents") -> int:
    """Run `command()` on an event loop of its own and return the exit status: its own, an error's, a signal's.

    `leave_to` is who undoes what a person doesn't wait for.
    """
    if is_verbose():
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    stop = _Stop(reporter, leave_to)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_until_stopped(command, stop))
    except KeyboardInterrupt:
        # Ctrl-C in the moment before our handlers stand, or after they are gone.
        return 128 + signal.SIGINT
    except asyncio.CancelledError as error:
        if stop.signal is not None:
            return 128 + stop.signal
        return _fail(error, reporter)
    except (Exception, BaseExceptionGroup) as error:
        return _fail(error, reporter)


class _Stop:
    """What the signals do: stop gently, warn, leave."""

    def __init__(self, reporter: Reporter, leave_to: str) -> None:
        self.signal: int | None = None
        self._leave_to = leave_to
        self._reporter = reporter
        self._task: asyncio.Task[int] | None = None
        self._warned = -LEAVE_WITHIN

    def guard(self, task: asyncio.Task[int]) -> None:
        """Let signals end `task`; a signal the parent has us ignore (nohup, a script's `&`) stays ignored."""
        self._task = task
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: int) -> None:
        assert self._task is not None
        if self.signal is None:
            self.signal = number
            self._task.cancel()
        elif number == signal.SIGINT:
            self._receive_again()

    def _receive_again(self) -> None:
        now = time.monotonic()
        if now - self._warned > LEAVE_WITHIN:
            self._warned = now
            text = f"still restoring; press Ctrl-C again within {LEAVE_WITHIN:.0f} s to leave it to {self._leave_to}"
            self._reporter.tell(Event("note", text))
            return
        self._reporter.close()
        # Not sys.exit: that would wait for the very undo the person doesn't want to wait for.
        os._exit(128 + signal.SIGINT)


async def _until_stopped(command: Callable[[], Coroutine[Any, Any, int]], stop: _Stop) -> int:
    """Run the command as the task that signals cancel; a status counts only if no signal came first."""
    task = asyncio.current_task()
    assert task is not None
    stop.guard(task)
    status = await command()
    return status if stop.signal is None else 128 + stop.signal


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Take uvloop where the extra `speed` installed it, unless INTERCEPTOR_UVLOOP=0."""
    if os.environ.get("INTERCEPTOR_UVLOOP", "1") == "0":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _fail(error: BaseException, reporter: Reporter) -> int:
    """Tell the one error a person can do something about, and return its exit status."""
    if is_verbose():
        traceback.print_exception(error)
    cause = first_cause(error)
    if not isinstance(cause, InterceptorError):
        said = f"unexpected {type(cause).__name__}: {cause}" if str(cause) else f"unexpected {type(cause).__name__}"
        cause = InterceptorError(
            " ".join(said.split()), hint="run it again with -v for the traceback, and please report it"
        )
    reporter.fail(cause)
    return cause.exit_status


def first_cause(error: BaseException) -> BaseException:
    """Choose what to show of a group: an error meant for people, else what went wrong first.

    A TaskGroup cancels its other tasks when one fails, so a cancellation inside a group is never the cause.
    """
    leaves = list(_leaves(error))
    wanted = [leaf for leaf in leaves if isinstance(leaf, InterceptorError)]
    real = [leaf for leaf in leaves if not isinstance(leaf, asyncio.CancelledError)]
    return (wanted or real or leaves)[0]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
