"""Runs a kubeconfig's exec plugin (`aws eks get-token`, `gke-gcloud-auth-plugin`, ...); `credentials` keeps its answer.

The contract is `client.authentication.k8s.io`: the request travels in $KUBERNETES_EXEC_INFO, the answer comes as JSON on
standard output. Standard error is for people: its last line explains a failure, and while the plugin may ask the person
something (a code to type into a browser) all of it goes to the terminal as it comes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interceptor.kube.config import ClusterEntry, UserEntry
from interceptor.kube.errors import KubeconfigError

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
SILENT_LIMIT = 60.0  # seconds for a plugin that asks nobody anything; kubectl waits for ever
ANSWER_LIMIT = 1024 * 1024
EARLY = 10.0  # seconds before its end a credential counts as expired, so that it holds until it is used


@dataclass(frozen=True)
class Answer:
    """What the plugin gave; `expires` is a Unix time, infinite when it named none."""

    token: str
    certificate: str
    key: str
    expires: float


@dataclass(frozen=True)
class ExecPlugin:
    """A command of the kubeconfig, ready to run."""

    command: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    version: str
    interactive_mode: str
    install_hint: str
    cluster: Mapping[str, Any] | None
    user: str

    @classmethod
    def parse(
        cls, settings: Mapping[str, Any], user: UserEntry, cluster: ClusterEntry, environ: Mapping[str, str]
    ) -> ExecPlugin:
        """Read the `exec` of a user, and check what can be checked before it runs."""
        command, version = str(settings.get("command") or ""), str(settings.get("apiVersion") or "")
        if not command:
            raise KubeconfigError(f"the exec plugin of user {user.name!r} has no command")
        if version not in VERSIONS:
            raise KubeconfigError(
                f"the exec plugin {command} of user {user.name!r} speaks {version or 'no apiVersion'}",
                hint=f"update the tool that wrote the kubeconfig: it should say {VERSIONS[0]}",
            )
        if os.sep in command:  # a path counts from the kubeconfig, a name is looked up in PATH
            command = str(user.folder / command)
        added = {str(entry["name"]): str(entry.get("value", "")) for entry in settings.get("env") or []}
        return cls(
            command=command,
            arguments=tuple(str(argument) for argument in settings.get("args") or ()),
            environment={**environ, **added},
            version=version,
            interactive_mode=str(settings.get("interactiveMode") or "IfAvailable"),
            install_hint=str(settings.get("installHint") or "").strip(),
            cluster=_cluster_info(cluster) if settings.get("provideClusterInfo") else None,
            user=user.name,
        )

    def expired(self, expires: float) -> bool:
        """Whether an answer that ends at `expires` should be asked for anew."""
        return time.time() >= expires - EARLY

    async def run(self) -> Answer:
        """Run the plugin and read its answer."""
        interactive = self._interactive()
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        info = {"apiVersion": self.version, "kind": "ExecCredential", "spec": spec}
        status, out, last_line = await self._execute(
            {**self.environment, "KUBERNETES_EXEC_INFO": json.dumps(info)}, interactive
        )
        if status:
            ending = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
            raise self._error(f"{ending}: {last_line}" if last_line else ending)
        return self._read(out)

    def _interactive(self) -> bool:
        terminal = sys.stdin is not None and sys.stdin.isatty()
        if self.interactive_mode == "Always" and not terminal:
            raise self._error("needs a terminal, and standard input is none")
        return terminal and self.interactive_mode != "Never"

    async def _execute(self, environment: Mapping[str, str], interactive: bool) -> tuple[int, bytes, str]:
        if shutil.which(self.command, path=environment.get("PATH")) is None:
            raise self._error("is not installed, or not in PATH")
        try:
            process = await asyncio.create_subprocess_exec(
                self.command,
                *self.arguments,
                env=environment,
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Killed as a group when it hangs; one that talks to the terminal must stay in our group to read it.
                start_new_session=not interactive,
            )
        except OSError as error:
            raise self._error(f"can't be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(None if interactive else SILENT_LIMIT), asyncio.TaskGroup() as group:
                assert process.stdout is not None
                assert process.stderr is not None
                out = group.create_task(_answer(process.stdout), name="exec plugin's answer")
                lines = group.create_task(_last_line(process.stderr, interactive), name="exec plugin's stderr")
                status = await process.wait()
        except TimeoutError as error:
            raise self._error(f"gave no answer in {SILENT_LIMIT:g} s") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    if interactive:
                        process.kill()
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return status, out.result(), lines.result()

    def _read(self, out: bytes) -> Answer:
        try:
            answer = json.loads(out)
            status = answer["status"]
            version = answer.get("apiVersion")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._error("did not answer with an ExecCredential and its status") from error
        if version != self.version:
            raise self._error(f"answered {version}, but the kubeconfig says {self.version}")
        token, certificate = str(status.get("token") or "").strip(), str(status.get("clientCertificateData") or "")
        key = str(status.get("clientKeyData") or "")
        if not token and not (certificate and key):
            raise self._error("answered with neither a token nor a certificate and its key")
        return Answer(token, certificate, key, self._expires(status.get("expirationTimestamp")))

    def _expires(self, stamp: object) -> float:
        if not stamp:
            return float("inf")
        try:
            return datetime.datetime.fromisoformat(str(stamp)).timestamp()
        except ValueError as error:
            raise self._error(f"answered with an expirationTimestamp that is no time: {stamp}") from error

    def _error(self, what: str) -> KubeconfigError:
        hint = " ".join(self.install_hint.split()) or f"run it by hand: {' '.join((self.command, *self.arguments))}"
        return KubeconfigError(f"the exec plugin {self.command} of user {self.user!r} {what}", hint=hint)


def _cluster_info(cluster: ClusterEntry) -> dict[str, Any]:
    info: dict[str, Any] = {"server": cluster.server}
    if cluster.tls_server_name:
        info["tls-server-name"] = cluster.tls_server_name
    if cluster.insecure:
        info["insecure-skip-tls-verify"] = True
    if cluster.authority:
        info["certificate-authority-data"] = base64.b64encode(cluster.authority.encode()).decode()
    if cluster.proxy_url:
        info["proxy-url"] = cluster.proxy_url
    if (config := cluster.extensions.get("client.authentication.k8s.io/exec")) is not None:
        info["config"] = config
    return info


async def _answer(stream: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while (chunk := await stream.read(65536)) and len(answer) < ANSWER_LIMIT:
        answer += chunk
    return bytes(answer)


async def _last_line(stream: asyncio.StreamReader, interactive: bool) -> str:
    """Read to the end, keeping the last line that says something; the plugin talks to the person through us."""
    tail = b""
    while chunk := await stream.read(4096):
        if interactive:
            sys.stderr.write(chunk.decode(errors="replace"))
            sys.stderr.flush()
        tail = (tail + chunk)[-4096:]
    lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
