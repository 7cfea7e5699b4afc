"""Real exec plugins: small Python scripts that answer as told and count their runs."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

V1 = "client.authentication.k8s.io/v1"


def plugin(folder: Path, body: str, name: str = "get-token") -> Path:
    """An executable script; `runs()` counts how often it ran."""
    path = folder / name
    path.write_text(
        f"#!{sys.executable} -S\n"
        "import json, os, sys, time\n"
        f"open({str(folder / 'runs')!r}, 'a').write('x')\n"
        f"runs = len(open({str(folder / 'runs')!r}).read())\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        f"def answer(version={V1!r}, **status):\n"
        "    print(json.dumps({'kind': 'ExecCredential', 'apiVersion': version, 'status': status}))\n"
        f"{body}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def runs(folder: Path) -> int:
    path = folder / "runs"
    return len(path.read_text()) if path.exists() else 0


def exec_user(command: Path | str, **settings: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": V1, "command": str(command), "interactiveMode": "Never", **settings}}


def certificate_answer(certificate: bytes, key: bytes) -> str:
    return f"answer(clientCertificateData={json.dumps(certificate.decode())}, clientKeyData={json.dumps(key.decode())})"
