"""Envoy, alone or as Istio's sidecar: POST /logging on its admin port lists the loggers, and sets many at once.

A level is written as the one that most loggers have, and the others by name: `warning,upstream=info`. With the list of
loggers, which a running Envoy does not change, that is exact.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import quote

from interceptor.errors import UsageError
from interceptor.kube import Cluster
from interceptor.mesh.loglevel.model import WITHIN, LevelRefused, Sidecar, refused
from interceptor.mesh.loglevel.syntax import Directive, Wanted, parse
from interceptor.mesh.proxy_http import Answer, ask

_LOGGER = re.compile(r"^  (\S+): (\w+)$", re.MULTILINE)
# Its debug logs of these show the headers of requests, and there is nothing to keep them out.
_SHOWING = frozenset({"http", "http2", "router", "filter", "client", "ext_authz", "jwt", "lua", "wasm", "quic"})
_VERBOSE = ("debug", "trace")


class EnvoyAdmin:
    """See `model.Admin`."""

    def __init__(self, cluster: Cluster, sidecar: Sidecar) -> None:
        self._cluster = cluster
        self._sidecar = sidecar
        self._loggers: dict[str, str] = {}

    async def read(self) -> str:
        """See Admin."""
        answer = await self._post("/logging")
        if answer.status != 200:
            raise refused(self._sidecar, answer, "does not tell its log levels")
        self._loggers = dict(_LOGGER.findall(answer.text))
        if not self._loggers:
            raise LevelRefused(
                f"the list of loggers of the proxy of pod {self._sidecar.pod} can't be read",
                hint="--enable-fine-grain-logging is not supported",
            )
        return compressed(self._loggers)

    async def text_for(self, wanted: Wanted) -> str:
        """See Admin."""
        if wanted.reset:
            text = await self.startup()
            if not text:
                raise UsageError(f"the proxy of pod {self._sidecar.pod} does not say how it was started")
            wanted = parse(text)
        after = dict(self._loggers)
        for directive in sorted(wanted.directives, key=lambda one: one.target):  # "" first: everything
            level = _envoys(directive.level)
            if directive.target and directive.target not in after:
                guess = get_close_matches(directive.target, after, n=1)
                hint = f"did you mean {guess[0]}?" if guess else f"it has: {', '.join(sorted(after))}"
                text = f"the {self._sidecar.mesh} proxy of pod {self._sidecar.pod} has no logger {directive.target!r}"
                raise UsageError(text, hint=hint)
            after.update(dict.fromkeys([directive.target] if directive.target else after, level))
        return compressed(after)

    async def set(self, text: str) -> str:
        """See Admin."""
        if not self._loggers:
            await self.read()
        wanted = expanded(text, self._loggers)
        paths = ",".join(f"{name}:{level}" for name, level in wanted.items() if self._loggers[name] != level)
        if paths:
            answer = await self._post(f"/logging?paths={quote(paths, safe=':,')}")
            if answer.status != 200:
                said = answer.text.partition("\n")[0]
                raise LevelRefused(f"the proxy of pod {self._sidecar.pod} refuses the level {text}: {said}")
        return await self.read()

    async def put_back(self, before: str) -> str:
        """See Admin."""
        await self.read()
        return await self.set(before)

    async def startup(self) -> str:
        """From its command line: Istio's settings end up there too."""
        one = self._sidecar
        answer = await ask(self._cluster, one.namespace, one.pod, "/server_info", port=one.port, within=WITHIN)
        if answer.status != 200:
            return ""
        try:
            typed = json.loads(answer.body)["command_line_options"]
            parts = [Directive("", str(typed["log_level"]))]
            named = str(typed.get("component_log_level") or "")
        except (ValueError, KeyError, TypeError):
            return ""
        for pair in filter(None, named.split(",")):
            name, _, level = pair.partition(":")
            if not self._loggers or name in self._loggers:
                parts.append(Directive(name.strip(), level.strip()))
        return ",".join(map(str, parts))

    def short(self, level: str) -> str:
        """See Admin."""
        return level

    def warning(self, level: str) -> str:
        """See Admin."""
        levels = expanded(level, dict.fromkeys(self._loggers or _SHOWING, ""))
        if any(levels.get(name) in _VERBOSE for name in _SHOWING):
            return "Envoy writes requests' headers into debug logs, credentials too"
        return ""

    async def _post(self, path: str) -> Answer:
        one = self._sidecar
        return await ask(self._cluster, one.namespace, one.pod, path, port=one.port, method="POST", within=WITHIN)


def compressed(loggers: Mapping[str, str]) -> str:
    """The commonest level, and the loggers that have another."""
    usual = Counter(loggers.values()).most_common(1)[0][0]
    return ",".join([usual, *(f"{name}={level}" for name, level in sorted(loggers.items()) if level != usual)])


def expanded(text: str, loggers: Mapping[str, str]) -> dict[str, str]:
    """The level of each logger; what `text` does not name keeps its own, where no level is for everything."""
    found = dict(loggers)
    for directive in sorted(parse(text).directives, key=lambda one: one.target):
        names = [directive.target] if directive.target else list(found)
        found.update((name, _envoys(directive.level)) for name in names if name in found)
    return found


def _envoys(level: str) -> str:
    """Our name of a level as Envoy writes it: it knows no `warn`."""
    return "warning" if level == "warn" else level
