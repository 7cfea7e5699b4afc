"""What a run inherits from whoever started it and no test is about, made the same everywhere; both `conftest`s begin here.

A shell's `&` and nohup leave signals ignored, a login its limits, a desktop its proxies and colours: children of ours would
inherit all of it, and a promise would hold on one machine and not on another. A test that is about one of these sets it.
"""

from __future__ import annotations

import os
import resource
import signal

DESCRIPTORS = 8192  # a thousand connections, each with two ends here
_KEPT = ("INTERCEPTOR_CONTRACT_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
_DROPPED = (
    "INTERCEPTOR_", "PYTHON", "LC_", "LANGUAGE", "KUBECONFIG", "KUBERNETES_SERVICE_", "XDG_CONFIG_", "COLUMNS", "LINES",
    "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip


def forget_process() -> None:
    """Signals act and arrive, files are readable by others, descriptors suffice."""
    for number in signal.valid_signals():
        # Python itself ignores these two, and every child of `subprocess` has them as usual again.
        if signal.getsignal(number) is signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def forget_environment() -> None:
    """No cluster, proxy, language, colour or Python setting but our own."""
    for name in list(os.environ):
        if name.upper().startswith(_DROPPED) and not name.startswith(_KEPT):
            del os.environ[name]
    os.environ["LANG"] = "C.UTF-8"
