"""Whom we talk to and as whom: server, TLS, proxy, credentials, impersonation; `client` and `portforward` share it."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies_environment

from interceptor import __version__
from interceptor.kube.config import ClusterEntry, load_kubeconfig
from interceptor.kube.credentials import Credential, Source, source_for
from interceptor.kube.errors import KubeconfigError

USER_AGENT = f"interceptor/{__version__}"


@dataclass
class Access:
    """A kubeconfig's context, ready for requests."""

    context: str
    namespace: str
    user: str  # for people: who we act as
    cluster: ClusterEntry
    source: Source
    proxy: str = ""  # an http:// or https:// URL, perhaps with user and password
    impersonation: tuple[tuple[str, str], ...] = ()
    _contexts: dict[tuple[str, str], ssl.SSLContext] = field(default_factory=dict, repr=False)

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at its end."""
        return self.cluster.server

    @property
    def shown_proxy(self) -> str:
        """The proxy's address without user and password."""
        return urlsplit(self.proxy).netloc.rpartition("@")[2]

    def proxy_headers(self) -> list[tuple[str, str]]:
        """What the proxy gets to see of us: the password in its URL, and none of the API server's headers."""
        headers = [("User-Agent", USER_AGENT)]
        parts = urlsplit(self.proxy)
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.append(("Proxy-Authorization", "Basic " + base64.b64encode(pair.encode()).decode()))
        return headers

    def headers(self, credential: Credential) -> list[tuple[str, str]]:
        """What every request carries, WebSockets too."""
        headers = [("User-Agent", USER_AGENT), *self.impersonation]
        if credential.authorization:
            headers.append(("Authorization", credential.authorization))
        for name, value in headers:
            if not value.isprintable():
                raise KubeconfigError(f"the value for {name} holds characters that no HTTP header can carry")
        return headers

    def tls(self, credential: Credential) -> ssl.SSLContext | None:
        """The TLS context that shows the credential's certificate; None when the server speaks plain HTTP."""
        if not self.server.startswith("https://"):
            return None
        pair = (credential.certificate, credential.key)
        if pair not in self._contexts:
            context = _context(self.cluster)
            if credential.certificate:
                _show(context, credential)
            # Plugins may bring new certificates: an old one is never shown again.
            self._contexts = {pair: context}
        return self._contexts[pair]


def load_access(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    namespace: str | None = None,
    as_user: str = "",
    as_groups: tuple[str, ...] = (),
) -> Access:
    """Read the kubeconfig and make it usable; nothing is sent yet, and no plugin runs."""
    config = load_kubeconfig(kubeconfig, context)
    if as_groups and not as_user:
        raise KubeconfigError("a group can only be impersonated together with a user", hint="add --as USER")
    impersonation = [("Impersonate-User", as_user), *(("Impersonate-Group", group) for group in as_groups)]
    if not as_user:
        impersonation = _impersonation(config.user.settings)
        as_user = dict(impersonation).get("Impersonate-User", "")
    return Access(
        context=config.context,
        namespace=namespace or config.namespace,
        user=as_user or config.user.name or "anonymous",
        cluster=config.cluster,
        source=source_for(config.user, config.cluster),
        proxy=_proxy(config.cluster),
        impersonation=tuple(impersonation),
    )


def _impersonation(user: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whom the kubeconfig itself says to act as."""
    headers = [("Impersonate-User", str(user["as"]))] if user.get("as") else []
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or ()]
    if user.get("as-uid"):
        headers.append(("Impersonate-Uid", str(user["as-uid"])))
    for key, values in (user.get("as-user-extra") or {}).items():
        headers += [(f"Impersonate-Extra-{quote(str(key))}", str(value)) for value in values]
    return headers


def _context(cluster: ClusterEntry) -> ssl.SSLContext:
    # Not `create_default_context`: from Python 3.13 on it sets VERIFY_X509_STRICT, which refuses the authorities of EKS,
    # GKE and others for missing extensions. kubectl doesn't ask for them; chain and host name are verified all the same.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As in Go, an intermediate authority in the kubeconfig is enough.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])  # HTTP/2 has no WebSocket upgrade
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not cluster.authority:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=cluster.authority)
        except (ssl.SSLError, ValueError) as error:
            raise KubeconfigError(
                f"certificate-authority of cluster {cluster.name!r} holds no certificate in PEM"
            ) from error
    return context


def _show(context: ssl.SSLContext, credential: Credential) -> None:
    with _unlinked_file(f"{credential.certificate}\n{credential.key}") as path:
        try:
            context.load_cert_chain(path, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            words = (isinstance(error, ssl.SSLError) and error.reason) or str(error)
            raise KubeconfigError(
                f"the user's client certificate and key can't be used: {words.replace('_', ' ').lower()}"
            ) from error


def _no_password() -> str:
    """Called for an encrypted key, where OpenSSL would else ask the terminal."""
    raise ValueError("the key is encrypted, which kubeconfigs don't allow")


@contextlib.contextmanager
def _unlinked_file(text: str) -> Iterator[str]:
    """A path that holds `text` for as long as the block runs, for OpenSSL, which reads keys from files only.

    In memory where the platform can; else a file of mode 0600 that is gone right after.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with os.fdopen(os.memfd_create("client-key"), "w") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile("w", prefix="interceptor-") as file:
        file.write(text)
        file.flush()
        yield file.name


def _proxy(cluster: ClusterEntry) -> str:
    """The kubeconfig's proxy-url, else the environment's, as kubectl has it."""
    proxy = cluster.proxy_url or _environment_proxy(cluster.server)
    if proxy and not proxy.startswith(("http://", "https://")):
        raise KubeconfigError(
            f"the proxy {proxy.rpartition('@')[2]} is of a kind that is not supported",
            hint="use one with an http:// or https:// address",
        )
    return proxy


def _environment_proxy(server: str) -> str:
    parts = urlsplit(server)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme, "")
    if not proxy or host == "localhost" or _bypassed(host, proxies.get("no", "")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _bypassed(host: str, listed: str) -> bool:
    """Whether NO_PROXY's entries name the host, a domain it is in, or a network it is in; never asks DNS."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return True
    for entry in filter(None, (entry.strip().lower() for entry in listed.split(","))):
        if entry == "*" or f".{host.lower()}".endswith(f".{entry.lstrip('.')}"):
            return True
        if address is not None and "/" in entry:
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
    return False
