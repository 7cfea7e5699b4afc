"""Reads the kubeconfig as kubectl does, or the pod's own when there is none; `access` makes it usable.

Several files in $KUBECONFIG are merged: whoever names something first wins. Relative paths count from the file they stand
in. What comes out has certificates as PEM text and paths absolute, so nothing later needs to know about files.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from interceptor.kube.errors import KubeconfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class ClusterEntry:
    """Where the API server is, and how it proves that it is the one."""

    name: str
    server: str
    tls_server_name: str = ""
    insecure: bool = False
    authority: str = ""  # PEM; empty: the system's
    proxy_url: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UserEntry:
    """Who we are: the kubeconfig's user as written, paths made absolute; `folder` is where its file lies."""

    name: str
    settings: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Kubeconfig:
    """One context, resolved."""

    context: str
    namespace: str
    cluster: ClusterEntry
    user: UserEntry
    source: str  # the files, for messages


def load_kubeconfig(path: str | None = None, context: str | None = None) -> Kubeconfig:
    """Resolve `context`, or the current one, of `path`, $KUBECONFIG, ~/.kube/config, or the pod we run in."""
    files = _files(path)
    merged = _merge(files)
    source = ", ".join(str(file) for file in files)
    if not merged["contexts"] and path is None:
        if "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists():
            return _in_cluster()
        raise KubeconfigError(
            f"no kubeconfig: {source} is missing or empty", hint="set KUBECONFIG, or name a file with --kubeconfig"
        )
    name = context or merged["current-context"]
    names = sorted(merged["contexts"])
    if not name:
        hint = f"kubectl config use-context {names[0]}" if names else "name another file with --kubeconfig"
        raise KubeconfigError(f"{source} has no current context", hint=hint)
    chosen, _ = _named(merged, "contexts", "context", name, source)
    cluster_name, user_name = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
    cluster, _ = _named(merged, "clusters", "cluster", cluster_name, source)
    user: dict[str, Any] = {}
    folder = Path()
    if user_name:  # a context without a user is anonymous, as with kubectl
        user, folder = _named(merged, "users", "user", user_name, source)
    return Kubeconfig(
        context=name,
        namespace=str(chosen.get("namespace") or "default"),
        cluster=_cluster(cluster_name, cluster, source),
        user=UserEntry(user_name, user, folder),
        source=source,
    )


def pem(settings: Mapping[str, Any], key: str) -> str:
    """The PEM text of `key`: its `-data`, else the file it names; empty when neither is given."""
    if data := settings.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=False).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError) as error:
            raise KubeconfigError(f"{key}-data in the kubeconfig is not base64 of PEM text") from error
    if file := settings.get(key):
        return read_text(Path(file), key)
    return ""


def read_text(file: Path, what: str) -> str:
    """Read a file that the kubeconfig names."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise KubeconfigError(f"can't read {what} {file}, which the kubeconfig names: {why}") from error


def _files(path: str | None) -> list[Path]:
    if path is not None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise KubeconfigError(f"no such kubeconfig: {file}", hint="check --kubeconfig")
        return [file]
    listed = [Path(entry) for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return listed or [Path.home() / ".kube" / "config"]


def _merge(files: list[Path]) -> dict[str, Any]:
    """The files' maps by name, each entry with the folder that its relative paths count from."""
    merged: dict[str, Any] = {"contexts": {}, "clusters": {}, "users": {}, "current-context": ""}
    for file in files:
        document = _read(file)
        merged["current-context"] = merged["current-context"] or str(document.get("current-context") or "")
        for plural, singular in (("contexts", "context"), ("clusters", "cluster"), ("users", "user")):
            entries = document.get(plural) or []
            if not isinstance(entries, list):
                raise KubeconfigError(f"{file}: {plural} is not a list")
            for entry in entries:
                if not isinstance(entry, dict) or not isinstance(entry.get(singular) or {}, dict):
                    raise KubeconfigError(f"{file}: an entry of {plural} is not a mapping")
                settings = _absolute(entry.get(singular) or {}, file.resolve().parent)
                merged[plural].setdefault(str(entry.get("name") or ""), (settings, file.resolve().parent))
    return merged


def _read(file: Path) -> dict[str, Any]:
    try:
        document = yaml.load(file.read_text(), _Loader)  # noqa: S506  (a safe loader: C's or Python's)
    except FileNotFoundError:
        return {}  # as kubectl: $KUBECONFIG may list files that are yet to be made
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"can't read the kubeconfig {file}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise KubeconfigError(f"{file}{line} is not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(document or {}, dict):
        raise KubeconfigError(f"{file} is not a kubeconfig")
    return document or {}


def _absolute(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    paths = {key: str(folder / settings[key]) for key in _PATHS if settings.get(key)}
    return {**settings, **paths}


def _named(merged: dict[str, Any], plural: str, what: str, name: str, source: str) -> tuple[dict[str, Any], Path]:
    entries: dict[str, tuple[dict[str, Any], Path]] = merged[plural]
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=1)
    known = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(entries)) or 'none'}"
    raise KubeconfigError(f"no {what} named {name!r} in {source}", hint=known)


def _cluster(name: str, settings: Mapping[str, Any], source: str) -> ClusterEntry:
    server = str(settings.get("server") or "").rstrip("/")
    if not server.startswith(("http://", "https://")):
        raise KubeconfigError(f"cluster {name!r} in {source} has no http:// or https:// server address")
    extensions = settings.get("extensions") or []
    return ClusterEntry(
        name=name,
        server=server,
        tls_server_name=str(settings.get("tls-server-name") or ""),
        insecure=bool(settings.get("insecure-skip-tls-verify")),
        authority=pem(settings, "certificate-authority"),
        proxy_url=str(settings.get("proxy-url") or ""),
        extensions={str(entry.get("name")): entry.get("extension") for entry in extensions},
    )


def _in_cluster() -> Kubeconfig:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    address = f"[{host}]" if ":" in host else host
    namespace = SERVICE_ACCOUNT / "namespace"
    return Kubeconfig(
        context="in-cluster",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        cluster=ClusterEntry(
            "in-cluster",
            f"https://{address}:{port}",
            authority=read_text(SERVICE_ACCOUNT / "ca.crt", "certificate-authority"),
        ),
        user=UserEntry("service-account", {"tokenFile": str(SERVICE_ACCOUNT / "token")}, SERVICE_ACCOUNT),
        source=str(SERVICE_ACCOUNT),
    )
