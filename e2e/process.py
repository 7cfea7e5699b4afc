"""A program under test as a real child process: its lines with their times, its signals, its end, nothing left."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

ROOT = Path(__file__).resolve().parent.parent
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Line:
    """One line a program wrote, and when it was read (seconds since the epoch)."""

    at: float
    source: str
    text: str


class Process:
    """A child in a process group of its own, ended with the context by its id."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, *, stdin: int = subprocess.DEVNULL
    ) -> None:
        self.argv = list(argv)
        self.lines: list[Line] = []
        self.started = time.time()
        self._news = threading.Condition()
        self._child = subprocess.Popen(
            self.argv, cwd=ROOT, env=dict(os.environ if env is None else env), stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, errors="replace",
        )  # fmt: skip
        assert self._child.stdout
        assert self._child.stderr
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, name), name=f"{name} of {self._child.pid}", daemon=True)
            for pipe, name in ((self._child.stdout, "stdout"), (self._child.stderr, "stderr"))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[str], source: str) -> None:
        # Closed here and nowhere else: what a killed client leaves running may hold the other end beyond `close`.
        with pipe:
            for text in pipe:
                line = Line(time.time(), source, text.rstrip("\n"))
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs; minus the number of the signal that ended it."""
        return self._child.poll()

    def wait_line(self, wanted: Callable[[Line], bool], timeout: float, what: str) -> Line:
        """The first line that is wanted, however early; fails when it can't come any more."""
        seen = 0

        def look() -> Line | None:
            nonlocal seen
            while seen < len(self.lines):
                line, seen = self.lines[seen], seen + 1
                if wanted(line):
                    return line
            return None

        return self.wait_until(look, timeout, what)

    def wait_until(self, look: Callable[[], Found | None], timeout: float, what: str) -> Found:
        """What a look finds; it is asked once for all lines that are new."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                # First this: whoever has ended wrote all its lines before.
                over = not any(reader.is_alive() for reader in self._readers)
                if (found := look()) is not None:
                    return found
                left = deadline - time.monotonic()
                if over or left <= 0:
                    why = f"ended with {self.status}" if over else f"{timeout:g} s passed"
                    raise AssertionError(f"no {what}: {why}\n{self.transcript()}")
                self._news.wait(min(left, 0.5))

    def wait(self, timeout: float) -> int:
        """The exit status, once it has ended and its output is complete."""
        try:
            status = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout:g} s\n{self.transcript()}") from None
        for reader in self._readers:
            reader.join(5)
        return status

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """As a terminal does with Ctrl-C: to the program and what it started in its group."""
        os.killpg(self.pid, number)

    def text(self, source: str) -> str:
        with self._news:
            return "\n".join(line.text for line in self.lines if line.source == source)

    def transcript(self) -> str:
        with self._news:
            told = [f"  {line.at - self.started:7.2f} {line.source}: {line.text}" for line in self.lines]
        return "\n".join([f"$ {' '.join(self.argv)}", *told])

    def close(self, timeout: float = 20) -> None:
        """End it if it still runs: politely first."""
        if self._child.stdin:
            self._child.stdin.close()
        if self.status is None:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._child.wait(10)
        for reader in self._readers:
            reader.join(2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalServer(Process):
    """One of `programs/` serving on this machine; `port` is where."""

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        super().__init__([sys.executable, "-m", f"e2e.programs.{module}", *arguments], env)
        first = self.wait_line(lambda line: line.text.startswith("listening"), 60, "listening server")
        self.port = int(first.text.split()[1])


def local_echo(word: str = "LOCAL", port: int = 0) -> LocalServer:
    """The echo app on loopback."""
    return LocalServer("echo", "--word", word, "--host", "127.0.0.1", "--listen", str(port))
