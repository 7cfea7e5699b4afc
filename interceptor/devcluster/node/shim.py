"""The parent of every process in every pod: a program of its own, started by `processes`, which talks to it over a socket.

It starts, signals and reaps. When the socket closes, however the dev cluster ended (also by SIGKILL), it kills whatever
it ever started and exits, so nothing is left. It is a subreaper: a daemon that left its session is still its descendant
and is found. Standard library only, single-threaded: forking here is safe and costs a millisecond.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
import termios
from typing import Any

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_FDS = 4  # the request itself, stdin, stdout, stderr


def _processes() -> list[tuple[int, int, int]]:
    """Return (pid, parent, session) of every process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found.append((int(entry), int(fields[1]), int(fields[3])))
    return found


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


class Shim:
    """The loop: requests from the dev cluster, ended children to it."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._libc = ctypes.CDLL(None)
        self._libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._alive: set[int] = set()

    def run(self) -> None:
        """Serve until the dev cluster is gone."""
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # only the end of the dev cluster ends us
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(read, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == read:
                    os.read(read, 4096)
                    self._reap()
                elif not self._request():
                    self._end()
                    return

    def _request(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._link, 65536, _FDS)
        if not data:
            return False
        if fds:
            with os.fdopen(fds[0], "rb") as file:
                request = json.loads(file.read())
            self._spawn(request, fds[1:])
        else:
            request = json.loads(data)
            self._signal(request["pid"], request["signal"], everyone=request["everyone"])
        return True

    def _spawn(self, request: dict[str, Any], stdio: list[int]) -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._become(request, stdio, write)
        os.close(write)
        for fd in stdio:
            os.close(fd)
        with os.fdopen(read, "rb") as file:
            failure = file.read()  # empty once exec has happened
        if failure:
            os.waitpid(pid, 0)
            self._say({"id": request["id"], "errno": int(failure)})
        else:
            self._alive.add(pid)
            self._say({"id": request["id"], "pid": pid})

    def _become(self, request: dict[str, Any], stdio: list[int], report: int) -> None:
        """In the child: turn into the program; never returns."""
        try:
            os.setsid()
            self._libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            for target, fd in enumerate(stdio):
                os.dup2(fd, target)
            if request["tty"]:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            os.chdir(request["cwd"])
            os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606  (that is its purpose)
        except OSError as error:
            os.write(report, str(error.errno or errno.EIO).encode())
        finally:
            os._exit(127)

    def _signal(self, pid: int, number: int, *, everyone: bool) -> None:
        if everyone:  # the session: what is left of a container when its first process is gone
            for other, _, session in _processes():
                if session == pid:
                    _kill(other, number)
        elif pid in self._alive:  # not reaped yet, so the number is still this process's
            _kill(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._alive:
                self._alive.discard(pid)
                self._say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._link.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError):
            return  # the loop sees the end next

    def _end(self) -> None:
        me = os.getpid()
        while True:
            parents = {pid: parent for pid, parent, _ in _processes()}
            mine = [pid for pid in parents if self._descends(pid, me, parents)]
            if not mine:
                return
            for pid in mine:
                _kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    @staticmethod
    def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
        pid = parents.get(pid, 0)
        while pid > 1:
            if pid == ancestor:
                return True
            pid = parents.get(pid, 0)
        return False


if __name__ == "__main__":
    Shim(socket.socket(fileno=int(sys.argv[1]))).run()
