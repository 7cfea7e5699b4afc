"""A run that was started with everything odd sees what any other run sees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ODD = """
import os, resource, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.umask(0o077)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
SEEN = """
import json, os, resource, signal
from tests.inherited import forget_environment, forget_process
forget_process()
forget_environment()
before = os.umask(0)
ignored = [int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]
blocked = list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
print(json.dumps([ignored, blocked, before, resource.getrlimit(resource.RLIMIT_NOFILE)[0], dict(os.environ)]))
"""


def test_odd_parent_is_forgotten() -> None:
    odd = {
        "PATH": "/bin", "PYTHONPATH": str(ROOT), "PYTHONDEVMODE": "1", "LC_ALL": "C", "http_proxy": "http://127.0.0.1:9",
        "KUBECONFIG": "/nowhere", "NO_COLOR": "1", "COLUMNS": "20", "HOME": "/home/ana",
    }  # fmt: skip
    command = [sys.executable, "-c", ODD, SEEN]
    done = subprocess.run(command, env=odd, capture_output=True, check=True, cwd=ROOT, timeout=60)
    ignored, blocked, umask, descriptors, environ = json.loads(done.stdout)
    assert ignored == [13, 25]  # SIGPIPE and SIGXFSZ, by Python itself
    assert blocked == []
    assert umask == 0o022
    assert descriptors > 100
    assert environ == {"PATH": "/bin", "PYTHONPATH": str(ROOT), "HOME": "/home/ana", "LANG": "C.UTF-8"}
