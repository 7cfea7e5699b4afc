"""`interceptor replay`: recorded requests against a local process; options in, `mesh.traffic.replay` run, lines out."""

import asyncio
import json
import re
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.lines import Lines
from interceptor.cli.options import verbose_option
from interceptor.errors import InterceptorError

if TYPE_CHECKING:
    from interceptor.mesh.traffic.recording import Recorded
    from interceptor.mesh.traffic.replay import Outcome, Replayer

_SPEED = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)x")


class Speed(click.ParamType[float]):
    """How fast: 1x, 2.5x, or max (0)."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn what was typed into a factor."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _SPEED.fullmatch(value)
        if value != "max" and (match is None or not float(match[1])):
            self.fail(f"{value!r} is not a speed; type 1x, 10x, 0.5x or max", param, ctx)
        return float(match[1]) if match is not None else 0.0


class Address(click.ParamType[tuple[str, int]]):
    """Where to send: HOST:PORT or PORT."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Turn what was typed into host and port."""
        host, _, port = value.removeprefix("http://").rstrip("/").rpartition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            self.fail(f"{value!r} is not an address; type HOST:PORT, as in 127.0.0.1:8080", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


@click.command(
    short_help="Send recorded requests to a local process.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0; 1 on an error, and with --diff if an answer differs or is missing.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--to",
    type=Address(),
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Where your process listens.",
)
@click.option(
    "--speed",
    type=Speed(),
    default="1x",
    show_default=True,
    help="1x: in the time they came; 10x; max: one after the other.",
)
@click.option("--diff", is_flag=True, help="Say how each answer differs from the recorded one.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A line for each answer, or one JSON object a line.",
)
@verbose_option
def replay(file: Path, to: tuple[str, int], speed: float, diff: bool, output: str) -> int:
    """Send the requests of FILE again, to a process on this machine.

    FILE is what tap --record wrote, or any HAR. Credentials that were hidden when it was recorded are left out:
    record with --show-secrets if they are needed.

    \b
      interceptor tap orders --status 5xx --record failing.jsonl
      interceptor replay failing.jsonl --to 127.0.0.1:8080 --diff
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _replay(file, to, speed, diff, output)

        return run(begin, teller)


async def _replay(file: Path, to: tuple[str, int], speed: float, diff: bool, output: str) -> int:
    from interceptor.mesh.traffic.recording import read
    from interceptor.mesh.traffic.replay import Replayer

    replayer = Replayer(*to)
    printer = _Printer(diff, output)
    requests = read(file, lambda text: click.echo(f"note: {text}", err=True))
    try:
        await replayer.check()
        if speed:
            await _in_time(requests, replayer, speed, printer)
        else:
            for recorded in requests:
                if printer.playable(recorded):
                    printer.show(await replayer.send(recorded))
    except (asyncio.CancelledError, InterceptorError, BaseExceptionGroup):
        if printer.sent:
            printer.sum_up()  # until here
        raise
    finally:
        replayer.close()
    return printer.finish(file)


async def _in_time(requests: "Iterator[Recorded]", replayer: "Replayer", speed: float, printer: "_Printer") -> None:
    """Each at its time, however long the others take; at most so many at once."""
    from interceptor.mesh.traffic.replay import MOST_AT_ONCE

    loop = asyncio.get_running_loop()
    began = loop.time()
    first: float | None = None
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def send(recorded: "Recorded") -> None:
        try:
            printer.show(await replayer.send(recorded))
        finally:
            places.release()

    async with asyncio.TaskGroup() as group:
        for recorded in requests:
            if not printer.playable(recorded):
                continue
            first = recorded.time if first is None else first
            await asyncio.sleep(max(0.0, (recorded.time - first) / speed - (loop.time() - began)))
            await places.acquire()
            group.create_task(send(recorded), name="replay")


class _Printer:
    """Shows outcomes as they come, and the sum of them."""

    def __init__(self, diff: bool, output: str) -> None:
        self._diff, self._json = diff, output == "json"
        self._lines = Lines(sys.stdout)
        self.sent = self._different = self._failed = 0
        self._left_out: dict[str, int] = {}
        self._masked: set[str] = set()

    def playable(self, recorded: "Recorded") -> bool:
        """Whether it can be sent again; what can't is counted."""
        if recorded.unplayable:
            self._left_out[recorded.unplayable] = self._left_out.get(recorded.unplayable, 0) + 1
            return False
        self._masked.update(recorded.masked)
        return True

    def show(self, outcome: "Outcome") -> None:
        """One more."""
        from interceptor.cli.tap_lines import milliseconds

        recorded, answer = outcome.recorded, outcome.answer
        self.sent += 1
        self._failed += bool(outcome.error)
        self._different += bool(outcome.differences)
        if self._json:
            self._lines.line(json.dumps(_as_json(outcome), ensure_ascii=False))
            return
        now = str(answer.status) if answer is not None else f"failed: {outcome.error}"
        took = milliseconds(answer.latency) if answer is not None else "-"
        before = milliseconds(recorded.latency)
        line = f"{recorded.method:<7} {recorded.path:<48} {recorded.status or 'none'} -> {now}   {before} -> {took}"
        self._lines.line("".join(letter if letter.isprintable() else "?" for letter in line))
        if self._diff:
            for difference in outcome.differences:
                self._lines.line(f"        {difference}")

    def sum_up(self) -> None:
        """What came of it."""
        words = [f"{self.sent} requests sent"]
        if self._failed:
            words.append(f"{self._failed} without an answer")
        if self._diff:
            same = self.sent - self._failed - self._different
            words.append(f"{self._different} answers differ" if self._different else f"{same} answers as recorded")
        for why, count in self._left_out.items():
            words.append(f"{count} left out: {why}")
        if self._masked:
            words.append(f"sent without {', '.join(sorted(self._masked))}, which the recording hides")
        click.echo("; ".join(words), err=True)

    def finish(self, file: Path) -> int:
        """The last words, and the exit status."""
        if not self.sent and not self._left_out:
            raise InterceptorError(f"{file} holds no requests")
        self.sum_up()
        if not self.sent:
            raise InterceptorError(f"nothing in {file} can be sent again")
        return 1 if self._diff and (self._failed or self._different) else 0


def _as_json(outcome: "Outcome") -> dict[str, Any]:
    recorded, answer = outcome.recorded, outcome.answer
    return {
        "method": recorded.method,
        "path": recorded.path,
        "recorded_status": recorded.status,
        "status": answer.status if answer is not None else None,
        "recorded_latency_ms": recorded.latency,
        "latency_ms": round(answer.latency, 3) if answer is not None else None,
        "error": outcome.error or None,
        "differences": outcome.differences,
    }
