"""What the API server answers instead of success, and why it can't be reached; raised by every module of `kube`.

InterceptorError
  KubeconfigError      the kubeconfig, or the credentials it names, can't be used
  Unreachable          no answer: name, connection, time, TLS or proxy
  ExecFailed           a command in a container could not be run
  PortForwardFailed    the way to a pod's port ended at the pod
  ApiError             an answer that is not success: `status`, `reason`, `message`
    Unauthorized 401, Forbidden 403, NotFound 404, AlreadyExists 409, Conflict 409, Gone 410, Invalid 422,
    TooManyRequests 429
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from dataclasses import dataclass

from interceptor.errors import InterceptorError
from interceptor.kube.resources import Resource
from interceptor.wire.layer import LayerError

MESSAGE_LIMIT = 256  # a Status may quote a whole object


class KubeconfigError(InterceptorError):
    """The kubeconfig can't be read, or what it says can't be done."""


class ExecFailed(InterceptorError):
    """The container could not start a command, or it did not end in time."""


class PortForwardFailed(InterceptorError):
    """The API server is there, but the pod's side of a port-forward failed; the text is the node's own."""


class Unreachable(InterceptorError):
    """The API server gave no answer; `broke` tells that a connection was there and ended too early."""

    broke = False


@dataclass(frozen=True)
class Call:
    """What was asked of the API server, in RBAC's words."""

    verb: str
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        if self.resource is None:
            return self.verb
        title = self.resource.title(self.subresource)
        where = f" in namespace {self.namespace}" if self.namespace and self.resource.namespaced else ""
        return f"{self.verb} {title}{f' {self.name!r}' if self.name else ''}{where}"


class ApiError(InterceptorError):
    """The API server refused: its HTTP status, the Status object's reason and message."""

    def __init__(self, message: str, *, status: int, reason: str = "", call: Call, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason
        self.call = call
        self.retry_after: float | None = None  # seconds, when the server asked to try again


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(ApiError):
    """403: the user lacks the right; `verb`, `resource` (as RBAC writes it) and `namespace` say which."""

    verb = ""
    resource = ""
    namespace = ""


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409: the object changed meanwhile; read it again."""


class AlreadyExists(ApiError):
    """409: the name is taken."""


class Gone(ApiError):
    """410: the resourceVersion is too old to continue from."""


class Invalid(ApiError):
    """422: the object breaks a rule, or a JSON Patch's test failed."""


class TooManyRequests(ApiError):
    """429: the server is busy."""


_BY_STATUS = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


# user "jane" cannot patch resource "deployments" in API group "apps" in the namespace "shop"
_RIGHT = re.compile(r'cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?')


def api_error(status: int, body: bytes, call: Call) -> ApiError:
    """Make the error of an answer; `body` is a Status object, or whatever a proxy on the way wrote."""
    reason, message = _read_status(body)
    kind = AlreadyExists if reason == "AlreadyExists" else _BY_STATUS.get(status, ApiError)
    text = f"can't {call}: {_cut(message) or f'HTTP {status}'}"
    hint = ""
    if kind is Unauthorized:
        hint = "log in again, then try: kubectl auth whoami"
    error = kind(text, status=status, reason=reason, call=call, hint=hint)
    if isinstance(error, Forbidden):
        _name_right(error, message)
    return error


def _name_right(error: Forbidden, message: str) -> None:
    """Say which right is missing: the server's own words first, they may name another verb than the caller thinks."""
    call = error.call
    error.verb, error.namespace = call.verb, call.namespace
    error.resource = call.resource.title(call.subresource) if call.resource else ""
    if found := _RIGHT.search(message):
        verb, resource, group, namespace = found.groups()
        plural, slash, subresource = resource.partition("/")
        error.verb, error.namespace = verb, namespace or ""
        error.resource = (f"{plural}.{group}" if group else plural) + slash + subresource
        where = f" in namespace {error.namespace}" if error.namespace else ""
        error.message = f"no right to {verb} {error.resource}{where}"
        flag = f" -n {error.namespace}" if error.namespace else ""
        error.hint = f"ask for it, then see: kubectl auth can-i {verb} {_can_i(plural, group, subresource)}{flag}"


def _can_i(plural: str, group: str, subresource: str) -> str:
    """The arguments of `kubectl auth can-i` for a resource."""
    name = f"{plural}.{group}" if group else plural
    return f"{name} --subresource={subresource}" if subresource else name


def _read_status(body: bytes) -> tuple[str, str]:
    try:
        status = json.loads(body)
    except ValueError:
        return "", _cut(" ".join(body.decode(errors="replace").split()))
    if not isinstance(status, dict):
        return "", ""
    # An extension's own server may write {"error": "..."}, as Linkerd's tap API does.
    return str(status.get("reason") or ""), str(status.get("message") or status.get("error") or "")


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "\N{HORIZONTAL ELLIPSIS}"


def unreachable(error: BaseException, server: str, *, proxy: str = "") -> Unreachable:
    """Say why there was no answer; `error` is an OSError, a TLS error of `ssl` or of our layer, or a timeout."""
    host = server.split("://", 1)[-1].split("/", 1)[0]
    through = f" through the proxy {proxy}" if proxy else ""
    where = f"the API server {host}{through}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error.verify_message or str(error), where)
    if isinstance(error, LayerError):
        prefix = "certificate verify failed: "
        if error.text.startswith(prefix):
            return _untrusted(error.text.removeprefix(prefix), where)
        return Unreachable(f"{where} can't be talked to: {error.text}", hint=_SCHEME)
    if isinstance(error, ssl.SSLError):
        return Unreachable(f"{where} can't be talked to: TLS: {(error.reason or str(error)).lower()}", hint=_SCHEME)
    if isinstance(error, socket.gaierror):
        name = proxy or host
        return Unreachable(
            f"the name of {name} does not resolve: {error.strerror}", hint="are you on the right network or VPN?"
        )
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{where} refused the connection", hint="is the cluster running?")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where} did not answer in time", hint=_NETWORK)
    if isinstance(error, ConnectionError):
        broken = Unreachable(f"{where} broke the connection: {error.strerror or error or type(error).__name__}")
        broken.broke = True
        return broken
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Unreachable(f"{where} can't be reached: {_cut(text) or type(error).__name__}")


_NETWORK = "are you on the right network or VPN?"
_SCHEME = "does the kubeconfig's server address begin with the right http:// or https://?"


def _untrusted(reason: str, where: str) -> Unreachable:
    words = reason.rstrip(".")
    if "expired" in words:
        text, hint = "shows a certificate that has expired", "renew it, and check this machine's clock"
    elif "not yet valid" in words:
        text, hint = "shows a certificate that is not valid yet", "check this machine's clock"
    elif "mismatch" in words:
        text, hint = f"shows a certificate for another name ({words})", "set tls-server-name in the kubeconfig"
    else:
        text = f"is signed by an authority that the kubeconfig does not know ({words})"
        hint = "check certificate-authority in the kubeconfig; was the cluster made anew?"
    return Unreachable(f"{where} {text}", hint=hint)
