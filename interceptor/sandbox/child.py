"""The program that becomes a sandbox: started by `sandbox.namespace`, it makes the namespaces and runs COMMAND in them.

Two processes: the first makes the namespaces and waits; its child, process 1 of the new PID namespace, starts COMMAND,
reaps what it leaves behind, and serves the client over two sockets: `control` (start, signals) and `pool` (sockets made
in here, by which the client connects to what COMMAND listens on). Whichever of client, first, second process or COMMAND
ends first, nothing is left: COMMAND's end is the end of process 1, and with it the kernel ends the namespace.

Standard library only, and little of it: it is up before COMMAND would be missed.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from interceptor.sandbox import doors, folder, mounts
from interceptor.sandbox.kernel import system
from interceptor.sandbox.spec import Spec, loads

POOL_SIZE = 16  # sockets in one answer
TERM_GRACE = 3.0  # for COMMAND, when the client is gone
_OURS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2)
_PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by the interpreter, not by whoever started it
KINDS = {
    b"4": (socket.AF_INET, socket.SOCK_STREAM),
    b"6": (socket.AF_INET6, socket.SOCK_STREAM),
    b"u": (socket.AF_INET, socket.SOCK_DGRAM),
    b"v": (socket.AF_INET6, socket.SOCK_DGRAM),
}  # of sockets that the client may wish for


class _Failed(Exception):
    """A step of the set-up failed."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.step, self.error = step, error


def main() -> NoReturn:
    """Run with the numbers of two descriptors as arguments: `control`, over which the spec comes, and `pool`."""
    control_fd, pool_fd = map(int, sys.argv[1:3])
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _OURS}
    began_in = folder.where()
    control, pool = socket.socket(fileno=control_fd), socket.socket(fileno=pool_fd)
    for sock in (control, pool):
        sock.set_inheritable(False)
    _, described, _, _ = socket.recv_fds(control, 16, 1)  # it may take a while: a pod is started meanwhile
    if not described:
        sys.exit(0)  # no sandbox is wanted any more
    with os.fdopen(described[0], "rb") as file:
        spec = loads(file.read())
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))  # to hold each entry of a folder that is replaced
    try:
        _set_up(spec, control)
    except _Failed as failed:
        with contextlib.suppress(BrokenPipeError):
            _say(control, {"failed": failed.step, "errno": failed.error.errno, "path": failed.error.filename})
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)  # the client is gone: there is nobody to make it for
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    child = os.fork()
    if child:
        control.close()
        pool.close()
        _, status = os.waitpid(child, 0)
        sys.exit(_exit_status(status))
    system.die_with_parent(signal.SIGKILL)
    _Init(spec, control, pool, before, began_in).run()


def _set_up(spec: Spec, control: socket.socket) -> None:
    """Make the namespaces and everything in them; hand the client the sockets by which it serves them."""
    _step("namespaces", _make_namespaces)
    if spec.hostname:
        _step("host name", lambda: system.set_host_name(spec.hostname))
    low_ports = _step("network", doors.free_low_ports)
    made = _step("network", lambda: doors.make(spec.network))
    _say(control, {"doors": [name for name, _ in made], "low_ports": low_ports}, [sock.fileno() for _, sock in made])
    for _, sock in made:
        sock.close()

    def hand_over(target: str, descriptor: int) -> None:
        _say(control, {"fuse": target}, [descriptor])

    _step("files", lambda: mounts.carry_out(spec.files, spec.mounts, hand_over))


def _make_namespaces() -> None:
    uid, gid = os.getuid(), os.getgid()
    wanted = system.NEW_MOUNTS | system.NEW_UTS | system.NEW_PIDS | system.NEW_NET
    if uid == 0:
        # Real root needs no user namespace, and in one it could not touch other users' files any more.
        try:
            system.unshare(wanted)
        except PermissionError:
            pass  # root of a container
        else:
            return
    system.unshare(wanted | system.NEW_USER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


class _Init:
    """Process 1 of the sandbox."""

    def __init__(
        self, spec: Spec, control: socket.socket, pool: socket.socket, before: dict[Any, Any], began_in: str
    ) -> None:
        self._spec, self._control, self._pool = spec, control, pool
        self._before, self._folder = before, began_in
        self._command = 0

    def run(self) -> NoReturn:
        """Serve until COMMAND has ended, or the client is gone."""
        # A container that hides parts of /proc may not mount another; the outer one shows us, too.
        with contextlib.suppress(PermissionError):
            system.mount("proc", "/proc", "proc")
        woken, wakes = socket.socketpair()
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        for sock in (self._control, self._pool, woken):
            poll.register(sock, select.POLLIN)
        try:
            _say(self._control, {"ready": True})
        except BrokenPipeError:
            self._end_alone()
        while True:
            for fd, _ in poll.poll():
                if fd == self._control.fileno():
                    self._obey(_heard(self._control, 4096))
                elif fd == self._pool.fileno():
                    self._serve_pool(poll)
                else:
                    woken.recv(4096)
                    self._reap()

    def _obey(self, said: bytes) -> None:
        if not said:
            self._end_alone()
        message = json.loads(said)
        if "start" in message:
            self._start()
        elif "signal" in message and self._command:
            os.kill(self._command, message["signal"])

    def _serve_pool(self, poll: select.poll) -> None:
        wish = _heard(self._pool, 1)
        if not wish:
            poll.unregister(self._pool)
            return
        made = [socket.socket(*KINDS[wish]) for _ in range(POOL_SIZE)]
        with contextlib.suppress(BrokenPipeError):  # the client is gone, as `control` is about to say
            socket.send_fds(self._pool, [wish], [sock.fileno() for sock in made])
        for sock in made:
            sock.close()

    def _reap(self) -> None:
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if ended == 0:
                return
            if ended == self._command:
                os._exit(_exit_status(status))

    def _end_alone(self) -> NoReturn:
        """The client is gone: let COMMAND end in order, for a moment."""
        if self._command:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
            signal.setitimer(signal.ITIMER_REAL, TERM_GRACE)
            for number in (signal.SIGTERM, signal.SIGCONT):
                os.kill(self._command, number)
            while True:
                ended, status = os.waitpid(-1, 0)
                if ended == self._command:
                    os._exit(_exit_status(status))
        os._exit(1)

    def _start(self) -> None:
        self._command = os.fork()
        if self._command:
            return
        for number, action in self._before.items():
            signal.signal(number, signal.SIG_IGN if action is signal.SIG_IGN else signal.SIG_DFL)
        for number in _PYTHONS:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        try:
            folder.go_to(self._folder)
            os.execve(self._spec.executable, list(self._spec.argv), _bytes(self._spec.environ))  # noqa: S606
        except OSError as error:
            with contextlib.suppress(BrokenPipeError):  # the client is gone
                _say(self._control, {"failed": "exec", "errno": error.errno, "path": error.filename})
            os._exit(126)


def _heard(sock: socket.socket, size: int) -> bytes:
    """What the client says; nothing when it is gone, however it went."""
    try:
        return sock.recv(size)
    except ConnectionResetError:  # it left what we said unread
        return b""


def _bytes(environ: dict[str, str]) -> dict[bytes, bytes]:
    return {
        name.encode(errors="surrogateescape"): value.encode(errors="surrogateescape") for name, value in environ.items()
    }


def _say(control: socket.socket, message: dict[str, object], descriptors: list[int] | None = None) -> None:
    socket.send_fds(control, [json.dumps(message).encode()], descriptors or [])


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _step(name: str, do: Callable[[], Any]) -> Any:
    try:
        return do()
    except OSError as error:
        raise _Failed(name, error) from error


if __name__ == "__main__":
    main()
