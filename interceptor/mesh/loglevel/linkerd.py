"""Linkerd's proxy: GET and PUT /proxy-log-level on its admin port, which answers loopback only (a port-forward is that).

The text read is another than the text set: the proxy sorts the directives, repeats some, and puts its own `_access_log=off`
in front (seen on edge-26.8.1). So nothing is compared but text read with text read, and the way back is tried until the text
read is the one from before: first with the value the proxy was started with, if that may be it, then with the text itself.
"""

from __future__ import annotations

from interceptor.errors import UsageError
from interceptor.kube import Cluster
from interceptor.mesh.loglevel.model import WITHIN, LevelRefused, Sidecar, refused
from interceptor.mesh.loglevel.syntax import Wanted, split
from interceptor.mesh.proxy_http import Answer, ask

PATH = "/proxy-log-level"
# What keeps requests' headers out of the logs from debug on. Any level set without them drops them, so we add them.
GUARDS = {"{headers}": "[{headers}]=off", "{request}": "[{request}]=off"}
_OWN = "_access_log=off"


class LinkerdAdmin:
    """See `model.Admin`."""

    def __init__(self, cluster: Cluster, sidecar: Sidecar) -> None:
        self._cluster = cluster
        self._sidecar = sidecar

    async def read(self) -> str:
        """See Admin."""
        answer = await self._ask("GET")
        if answer.status != 200:
            raise refused(self._sidecar, answer, "does not tell its log level")
        return answer.text.strip()

    async def text_for(self, wanted: Wanted) -> str:
        """See Admin."""
        if wanted.reset:
            if not self._sidecar.given:
                text = f"pod {self._sidecar.pod} does not say with which log level its proxy was started"
                raise UsageError(text, hint="name the level: Linkerd's usual one is warn,linkerd=info,hickory=error")
            return self._sidecar.given
        if any(directive.level == "critical" for directive in wanted.directives):
            raise UsageError("critical is a level of Envoy's; Linkerd's highest is error", hint="type error, or off")
        text = str(wanted)
        return ",".join([text, *(guard for name, guard in GUARDS.items() if name not in text)])

    async def set(self, text: str) -> str:
        """See Admin."""
        answer = await self._ask("PUT", text)
        if answer.status == 400:
            said = " ".join(answer.text.split())
            raise LevelRefused(f"the proxy of pod {self._sidecar.pod} refuses the level {text}: {said}")
        if answer.status not in (200, 204):
            raise refused(self._sidecar, answer, "does not take a log level")
        return await self.read()

    async def put_back(self, before: str) -> str:
        """See Admin."""
        given = self._sidecar.given
        ways = [before]
        if given and directives(given) == directives(before):
            ways.insert(0, given)
        plain = ",".join(part for part in dict.fromkeys(split(before)) if part != _OWN)
        ways.append(plain)
        now = ""
        problem: LevelRefused | None = None
        for text in dict.fromkeys(ways):
            try:
                now = await self.set(text)
            except LevelRefused as error:
                problem = error
                continue
            if now == before:
                return now
        if not now and problem is not None:
            raise problem
        return now

    async def startup(self) -> str:
        """See Admin."""
        return self._sidecar.given

    def short(self, level: str) -> str:
        """See Admin."""
        hidden = {_OWN, *GUARDS.values()}
        return ",".join(part for part in dict.fromkeys(split(level)) if part not in hidden) or level

    def warning(self, level: str) -> str:
        """See Admin."""
        verbose = any(part.rpartition("=")[2] in ("debug", "trace") for part in split(level))
        if verbose and not all(guard in level for guard in GUARDS.values()):
            return "requests' headers may be in these logs, credentials too: a guard against that is not set"
        return ""

    async def _ask(self, method: str, body: str = "") -> Answer:
        one = self._sidecar
        return await ask(
            self._cluster, one.namespace, one.pod, PATH, port=one.port, method=method, body=body.encode(), within=WITHIN
        )


def directives(text: str) -> frozenset[str]:
    """What a filter says, however it is written."""
    return frozenset(part.strip().lower() for part in split(text) if part.strip()) - {_OWN}
