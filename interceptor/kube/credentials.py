"""Who we are to the API server: certificate, token, token file, password or plugin; `access` hands it to requests."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from interceptor.kube.config import ClusterEntry, UserEntry, pem, read_text
from interceptor.kube.errors import ApiError, KubeconfigError, Unauthorized
from interceptor.kube.execplugin import Answer, ExecPlugin

# An answer is used so many seconds whatever it says of its end: with a clock that is an hour off it had ended before it
# came, and the plugin would run for each request. One that has ended indeed is refused, and then replaced.
LEAST_USE = 10.0


@dataclass(frozen=True)
class Credential:
    """What one request shows: an Authorization header, a client certificate, both or neither."""

    authorization: str = ""
    certificate: str = ""  # PEM, with its chain
    key: str = ""


class Source(Protocol):
    """Where credentials come from; `current` is asked before every request and is cheap unless something changed."""

    async def current(self) -> Credential:
        """The credential to show now."""

    async def renew(self, refused: Credential) -> Credential:
        """After a 401: a credential other than `refused` if there is any, else the same."""


class Fixed:
    """What stands in the kubeconfig itself and never changes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def current(self) -> Credential:
        """The one there is."""
        return self._credential

    async def renew(self, refused: Credential) -> Credential:
        """There is no other."""
        return refused


class TokenFile:
    """A token that something else keeps fresh in a file, as the kubelet does in a pod: re-read whenever it changed."""

    def __init__(self, path: Path, certificate: Credential) -> None:
        self._path = path
        self._certificate = certificate
        self._seen: tuple[int, ...] = ()
        self._credential = certificate

    async def current(self) -> Credential:
        """Read the file again if it is not the one read last."""
        try:
            stat = self._path.stat()
        except OSError as error:
            raise KubeconfigError(f"can't read tokenFile {self._path}: {error.strerror}") from error
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            token = read_text(self._path, "tokenFile").strip()
            self._credential = Credential(f"Bearer {token}", self._certificate.certificate, self._certificate.key)
            self._seen = seen
        return self._credential

    async def renew(self, refused: Credential) -> Credential:
        """Read the file whatever its time stamp says."""
        self._seen = ()
        return await self.current()


class Plugin:
    """An exec plugin's answer, kept until it ends or is refused; one run at a time whoever asks.

    A run outlives the request that began it: one with little patience (a Lease's renewal has 3 s) would else cut each
    run short, and a plugin that takes longer would never come to its end. Shortly before the answer ends the next one is
    fetched beside the requests, which go on with the one they have.
    """

    def __init__(self, plugin: ExecPlugin, certificate: Credential) -> None:
        self._plugin = plugin
        self._fallback = certificate
        self._credential: Credential | None = None
        self._expires = 0.0
        self._got_at = 0.0
        self.least_use = LEAST_USE
        self._running: asyncio.Task[Answer] | None = None

    async def current(self) -> Credential:
        """Run the plugin if there is no answer that still holds."""
        if self._credential is None:
            return await self._next()
        if self._plugin.expired(self._expires) and time.monotonic() - self._got_at >= self.least_use:
            if time.time() >= self._expires:
                return await self._next()
            self._run()
        return self._credential

    async def renew(self, refused: Credential) -> Credential:
        """Run the plugin again, unless someone else just did."""
        if self._credential is None or self._credential == refused:
            return await self._next()
        return self._credential

    async def _next(self) -> Credential:
        await asyncio.shield(self._run())
        assert self._credential is not None
        return self._credential

    def _run(self) -> asyncio.Task[Answer]:
        if self._running is None:
            # Owned by no task group: whichever request began it may be over first. At most one; it ends by itself, and
            # asyncio's runner ends it with the program.
            self._running = asyncio.get_running_loop().create_task(self._plugin.run(), name="run the exec plugin")
            self._running.add_done_callback(self._ran)
        return self._running

    def _ran(self, run: asyncio.Task[Answer]) -> None:
        self._running = None
        if run.cancelled() or run.exception() is not None:
            return  # told to whoever waits; who doesn't, asks again when the answer has ended
        answer = run.result()
        self._expires, self._got_at = answer.expires, time.monotonic()
        self._credential = Credential(
            f"Bearer {answer.token}" if answer.token else "",
            answer.certificate or self._fallback.certificate,
            answer.key or self._fallback.key,
        )


def source_for(user: UserEntry, cluster: ClusterEntry) -> Source:
    """Choose by what the kubeconfig's user holds; the order of precedence is kubectl's."""
    settings: Mapping[str, Any] = user.settings
    certificate, key = pem(settings, "client-certificate"), pem(settings, "client-key")
    if bool(certificate) != bool(key):
        missing = "client-key" if certificate else "client-certificate"
        raise KubeconfigError(f"user {user.name!r} in the kubeconfig has no {missing}")
    shown = Credential("", certificate, key)
    if file := settings.get("tokenFile"):
        return TokenFile(Path(file), shown)
    if token := settings.get("token"):
        return Fixed(Credential(f"Bearer {str(token).strip()}", certificate, key))
    if name := settings.get("username"):
        pair = base64.b64encode(f"{name}:{settings.get('password', '')}".encode()).decode()
        return Fixed(Credential(f"Basic {pair}", certificate, key))
    if plugin := settings.get("exec"):
        return Plugin(ExecPlugin.parse(plugin, user, cluster, os.environ), shown)
    if provider := settings.get("auth-provider"):
        name = provider.get("name") if isinstance(provider, dict) else provider
        raise KubeconfigError(
            f"user {user.name!r} uses the auth-provider {name!r}, which Kubernetes removed in 1.26",
            hint="make your cloud's tool write the kubeconfig again: it will use an exec plugin",
        )
    return Fixed(shown)


def explained(error: ApiError, credential: Credential) -> ApiError:
    """Add to a 401 what can be seen from here: that the certificate or token has expired."""
    if isinstance(error, Unauthorized):
        for found in (_certificate_end(credential.certificate), _token_end(credential.authorization)):
            if found is not None and found[1] < time.time():
                day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(found[1]))
                error.message += f": the {found[0]} expired on {day}"
    return error


def _certificate_end(certificate: str) -> tuple[str, float] | None:
    if not certificate:
        return None
    from cryptography import x509  # noqa: PLC0415  (0.1 s that only this error needs)

    try:
        return "client certificate", x509.load_pem_x509_certificate(
            certificate.encode()
        ).not_valid_after_utc.timestamp()
    except ValueError:
        return None


def _token_end(authorization: str) -> tuple[str, float] | None:
    """The `exp` of a token, if it is a JWT; read, not verified."""
    try:
        payload = authorization.split(".")[1]
        return "token", float(json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None
