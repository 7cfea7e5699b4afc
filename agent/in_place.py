"""Gives the pod its app back without the API: where no agent may restore the workload, this one becomes the app again.

The client sends the app's command along if it may not create Roles and the agent runs in the container's own image. When
the client counts as gone, by the same rules as for `guard` but for the Lease, which can't be read: the agent frees the
ports, forks, and process 1 executes the command, with the container's own environment, directory and limits. The child
stays behind for what the swapped template still expects: it answers the kubelet, ready once the app is, and hands the
callers who wait over to it. The template stays swapped until somebody types `interceptor restore`.

That the API server answers at all, if only that it does not know us, keeps its own outages from counting. In a pod that
may never reach it, time counts as it passes.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.api import Api, ApiError
from agent.app_probe import AppProbe
from agent.config import Config
from agent.environment import environment
from agent.inbound import Inbound
from agent.inward import Inward
from agent.journal import say
from agent.listener import Listener
from agent.probe import own_address
from agent.watchdog import Watchdog
from agent.workers import Workers
from interceptor.tunnel.poller import Poller, Timer
from interceptor.wire.reasons import Reason

PROBE_EVERY = 1.0
PROBE_EVERY_AT_START = 0.1
_NOT_FOUND = 127  # as a shell has it


class InPlace:
    """Watches while no tunnel is up; in the end one process becomes two, and this one serves in the child."""

    def __init__(
        self,
        poller: Poller,
        workers: Workers,
        config: Config,
        inbound: Inbound,
        files_before: int,
        may_start: Callable[[], bool],
        end: Callable[[], None],
    ) -> None:
        self._poller, self._workers, self._config, self._inbound = poller, workers, config, inbound
        self._files_before = files_before  # the soft limit on descriptors that the container was given
        self._may_start, self._end = may_start, end
        self._api = Api(config.folder)
        self._watchdog = Watchdog(config.lost_after, config.silent_after)
        self._answered = False  # the API server, ever
        self._looking = False
        self._timer: Timer | None = None
        self._host = config.bind or own_address()
        self.listeners: list[Listener | Inward] = []  # to be closed when the app needs their ports
        self.on_ready: Callable[[], None] = lambda: None
        self.started = False
        self.ready = False
        self._app = 0  # its process

    @property
    def state(self) -> str:
        """In words, for `interceptor status`."""
        if not self.started:
            return "in place when the client is gone"
        return "the app runs in place"

    def start(self) -> None:
        """Begin; the client has `silent_after` seconds for its first tunnel."""
        self._look()

    def tunnel(self, up: bool, reason: Reason) -> None:
        """A tunnel came or ended."""
        self._watchdog.tunnel(up, reason)
        if not up:
            self._look()

    # --- is the client gone? -----------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watchdog.watching and not self._looking:
            self._looking = True
            self._workers.run(self._answers, self._looked)

    def _answers(self) -> bool:
        """Whether the API server does; it need not like us."""
        try:
            self._api.get(self._config.lease)
        except ApiError:
            return True
        except OSError:
            return False
        return True

    def _looked(self, answers: bool | None, error: Exception | None) -> None:
        self._looking = False
        if error is not None:
            raise error
        self._answered = self._answered or bool(answers)
        if not self._watchdog.watching:
            return
        if self._answered and not answers:
            self._watchdog.unseen()
        elif self._watchdog.seen("", self._config.silent_after, self._poller.now()) and self._may_start():
            self._become()
            return
        self._timer = self._poller.call_later(self._watchdog.pause, self._look)

    # --- becoming the app --------------------------------------------------------------------------------------

    def _become(self) -> None:
        app = self._config.app
        assert app is not None
        environ = {**environment(), **app.get("environ", {})}
        argv = [expand(word, environ) for word in app["argv"]] if app.get("expand") else list(app["argv"])
        program = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
        self._watchdog.retire()
        if program is None:
            say(f"{self._config.holder} is gone, but the app's command {argv[0]!r} is not there: nothing is started")
            return
        for listener in self.listeners:
            listener.close()
        say(f"{self._config.holder} is gone: starting the app's own command in place")
        ours = os.getpid()
        if os.fork():
            self._execute(program, argv, environ, app.get("cwd"))
        self.started, self._app = True, ours
        self._inbound.hand_over([self._host])
        self._probe()

    def _execute(self, program: str, argv: Sequence[str], environ: Mapping[str, str], folder: str | None) -> None:
        """Never returns. All descriptors but the standard ones close by themselves."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # ignored ones would stay so
                signal.signal(number, signal.SIG_DFL)
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._files_before, hard))
            if folder:
                os.chdir(folder)
            block = {_bytes(name): _bytes(value) for name, value in environ.items()}
            os.execve(program, [_bytes(word) for word in argv], block)  # noqa: S606  the container's own command
        except OSError as error:
            say(f"{program} can't be started: {error.strerror}")
        finally:
            sys.stdout.flush()
            os._exit(_NOT_FOUND)  # the kubelet starts the container again, and with it the agent

    def _probe(self) -> None:
        if os.getppid() != self._app:  # it ended; in a pod's own process namespace we did not live to see it
            self._end()
            return
        wanted: dict[str, Any] = (self._config.app or {}).get("ready") or {}
        ports = self._config.ports
        if not wanted.get("port") and not ports:  # it speaks UDP only
            self._probed(True)
            return
        port = int(wanted.get("port") or ports[0])
        AppProbe(self._poller, self._host, port, str(wanted.get("path") or ""), self._probed).start()

    def _probed(self, ready: bool) -> None:
        if ready != self.ready:
            say("the app is ready" if ready else "the app is not ready any more")
        self.ready = ready
        self.on_ready()
        self._poller.call_later(PROBE_EVERY if ready else PROBE_EVERY_AT_START, self._probe)


_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")


def expand(word: str, environ: Mapping[str, str]) -> str:
    """`$(NAME)` in a command as the kubelet replaces it: an unknown one stays, and `$$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return environ.get(match[1], match[0])

    return _REFERENCE.sub(value, word)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
