"""COMMAND in a sandbox has the terminal as if it had been typed: its size, its keys, its jobs."""

import os
import pty
import select
import shlex
import subprocess
import termios
import time

import pytest

from tests.sandbox import world

pytestmark = pytest.mark.slow  # an agent and a sandbox each


class Terminal:
    """A person's side of a terminal on which COMMAND was started."""

    def __init__(self, *command: str, typed_into: str = "") -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (31, 97))
        started = typed_into.split() if typed_into else world.program(*command)
        self.process = world.start_program(started, terminal=theirs)
        os.close(theirs)
        self.said = ""

    def hears(self, text: str, seconds: float = 20.0) -> str:
        """Wait until the screen shows `text` after what was heard before; what came up to it."""
        deadline = time.monotonic() + seconds
        while text not in self.said:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.said!r}\n{self._processes()}"
            if select.select([self._ours], [], [], left)[0]:
                self.said += os.read(self._ours, 4096).decode(errors="replace")
        before, _, self.said = self.said.partition(text)
        return before

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def resize(self, lines: int, columns: int) -> None:
        termios.tcsetwinsize(self._ours, (lines, columns))

    def ends(self) -> int:
        """The status, once the client has ended by itself."""
        while select.select([self._ours], [], [], 0.1)[0]:
            try:
                self.said += os.read(self._ours, 4096).decode(errors="replace")
            except OSError:
                break  # nobody has the terminal open any more
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(self._processes()) from error
        os.close(self._ours)
        return status

    def _processes(self) -> str:
        """Who is there, and who has the terminal."""
        columns = "pid,ppid,pgid,tpgid,stat,wchan:20,args"
        told = subprocess.run(
            ["ps", "-o", columns, "-s", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return told.stdout


def test_size_is_the_terminals() -> None:
    terminal = Terminal("sh", "-c", 'trap "stty size; exit 3" WINCH; stty size; while :; do sleep 0.1; done')
    terminal.hears("31 97")
    terminal.resize(20, 60)
    terminal.hears("20 60")
    assert terminal.ends() == 3


def test_interrupt_reaches_command() -> None:
    terminal = Terminal("sh", "-c", 'trap "echo heard; exit 4" INT; echo up; while :; do sleep 0.1; done')
    terminal.hears("up")
    terminal.types("\x03")
    terminal.hears("heard")
    assert terminal.ends() != 0


def use_jobs(terminal: Terminal) -> None:
    """Stop a job and continue it; what a shell writes itself differs from what was typed by the quotes."""
    terminal.types("echo u''p\n")
    terminal.hears("up\r\n")
    terminal.types("sh -c \"echo in''side; exec sleep 100\"\n")
    terminal.hears("inside\r\n")
    terminal.types("\x1a")
    terminal.hears("Stopped")
    terminal.types("kill %1; fg; echo a''b\n")
    terminal.hears("ab\r\n")


def test_shell_has_jobs() -> None:
    terminal = Terminal("bash", "--norc", "-i")
    use_jobs(terminal)
    terminal.types("exit 5\n")
    assert terminal.ends() == 5


def test_stop_stops_all() -> None:
    """Ctrl-Z stops COMMAND together with the client, a shell's `fg` continues both; a shell in a sandbox is no other."""
    terminal = Terminal(typed_into="bash --norc -i")
    terminal.types(f"{shlex.join(world.program('sh', '-c', 'echo s$((1+1)); read x; echo got $x; exit 6'))}\n")
    terminal.hears("s2\r\n")
    terminal.types("\x1a")
    terminal.hears("Stopped")
    terminal.types("fg\n")
    terminal.hears("\r\n")
    terminal.types("word\n")
    terminal.hears("got word")
    terminal.types("echo status=$?\n")
    terminal.hears("status=6")
    terminal.types(f"{shlex.join(world.program('bash', '--norc', '-i'))}\n")
    use_jobs(terminal)
    terminal.types("exit 7\n")
    terminal.types("echo status=$?\n")
    terminal.hears("status=7")
    terminal.types("exit 0\n")
    assert terminal.ends() == 0


def test_input_and_output_are_pipes() -> None:
    with world.start("sh", "-c", "cat; echo err >&2") as process:
        out, err = process.communicate("some\nlines\n", timeout=20)
    assert (out, err) == ("some\nlines\n", "err\n")
