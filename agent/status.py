"""What this agent knows of itself, and a probe on demand, as JSON; `health` serves both to whoever is inside the pod.

`interceptor status` asks from another process, through a port-forward, which arrives on the pod's loopback. Nothing here is
secret, and everything is bounded: one probe at a time, however many ask for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.inbound import Inbound
from agent.probe import Probe
from agent.tunnels import Tunnels
from interceptor.tunnel.poller import Poller

Answer = Callable[[bytes], None]

LONGEST_TEXT = 200


class Status:
    """The two pages."""

    def __init__(
        self,
        poller: Poller,
        config: Config,
        tunnels: Tunnels,
        inbound: Inbound,
        guard_state: Callable[[], str],
        is_ending: Callable[[], bool],
    ) -> None:
        self._poller, self._config, self._tunnels, self._inbound = poller, config, tunnels, inbound
        self._guard_state, self._is_ending = guard_state, is_ending
        self._asking: list[Answer] = []  # who waits for the probe under way

    @property
    def pages(self) -> dict[bytes, Callable[[Answer], None]]:
        """By path."""
        return {b"/status": self._tell, b"/probe": self._probe}

    def _tell(self, answer: Answer) -> None:
        tunnel = self._tunnels.state()
        tunnel["text"] = tunnel["text"][:LONGEST_TEXT]
        answer(
            _json(
                {
                    "session": self._config.session,
                    "holder": self._config.holder,
                    "ports": list(self._config.ports),
                    "armed": self._tunnels.armed,
                    "ending": self._is_ending(),
                    "tunnel": tunnel,
                    "callers": {"waiting": self._inbound.waiting, "all": self._inbound.busy},
                    "guard": self._guard_state(),
                }
            )
        )

    def _probe(self, answer: Answer) -> None:
        self._asking.append(answer)
        if len(self._asking) == 1:
            Probe(self._poller, self._config, self._inbound, self._probed).start()

    def _probed(self, result: dict[str, Any]) -> None:
        asking, self._asking = self._asking, []
        for answer in asking:
            answer(_json(result))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
