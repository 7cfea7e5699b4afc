"""The Kubernetes API and nothing else: kubeconfig, credentials, requests, watches, exec, port-forwards.

`session` loads an `Access` (whom to talk to, and as whom) and opens a `Cluster` on it; everything is dicts as the API has
them. A client of our own on aiohttp, because the official one costs 0.7 s more of CPU at import and lacks what people's
kubeconfigs ask for: impersonation, errors of exec plugins, tokens re-read from files, proxies for WebSockets.
"""

import interceptor.kube.lean_aiohttp  # noqa: F401  before aiohttp comes otherwise
from interceptor.kube.access import Access, load_access
from interceptor.kube.client import Cluster
from interceptor.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    ExecFailed,
    Forbidden,
    Gone,
    Invalid,
    KubeconfigError,
    NotFound,
    PortForwardFailed,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from interceptor.kube.execute import ExecResult
from interceptor.kube.portforward import PortForward
from interceptor.kube.resources import Resource
from interceptor.kube.streams import ContainerStream
from interceptor.kube.watch import Listing, WatchEvent

__all__ = [
    "Access",
    "AlreadyExists",
    "ApiError",
    "Cluster",
    "Conflict",
    "ContainerStream",
    "ExecFailed",
    "ExecResult",
    "Forbidden",
    "Gone",
    "Invalid",
    "KubeconfigError",
    "Listing",
    "NotFound",
    "PortForward",
    "PortForwardFailed",
    "Resource",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
    "WatchEvent",
    "load_access",
]
