"""A kubeconfig's credential plugin whose answers are short-lived: each run makes a new one, and ends the one before.

`python -m e2e.programs.credential token|certificate USER KUBECONFIG NAMESPACE LIFETIME`. A token is bound to a Secret;
when that is deleted the API server refuses the token, as one that has expired. A certificate is signed by the cluster;
those can't be ended early (10 minutes is the least they live): there the plugin's expiry alone brings the next.
"""

import base64
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.kubectl import program


class Kubectl:
    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._argv = [program() or "kubectl", "--kubeconfig", kubeconfig, "--namespace", namespace]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        return subprocess.run([*self._argv, *arguments], input=stdin, text=True, capture_output=True, check=True).stdout


def token(kubectl: Kubectl, user: str) -> dict[str, str]:
    name = f"credential-{time.time_ns()}"
    kubectl("create", "secret", "generic", name)
    made = kubectl(
        "create", "token", user, "--bound-object-kind=Secret", f"--bound-object-name={name}", "--duration=10m"
    )
    for old in sorted(kubectl("get", "secrets", "-o", "name").split()):
        if old.startswith("secret/credential-") and old < f"secret/{name}":
            kubectl("delete", old, "--ignore-not-found")
    return {"token": made.strip()}


def certificate(kubectl: Kubectl, user: str) -> dict[str, str]:
    name = f"e2e-{user}-{time.time_ns()}"
    key = subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], capture_output=True, text=True, check=True
    ).stdout
    request = subprocess.run(
        ["openssl", "req", "-new", "-key", "/dev/stdin", "-subj", f"/CN={user}"],
        input=key, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    spec: dict[str, Any] = {
        "request": base64.b64encode(request.encode()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "expirationSeconds": 600,
        "usages": ["client auth"],
    }
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": spec,
    }
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    kubectl("certificate", "approve", name)
    kubectl("wait", "csr", name, "--for=jsonpath={.status.certificate}", "--timeout=20s")
    signed = kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")
    kubectl("delete", "csr", name)
    return {"clientCertificateData": base64.b64decode(signed).decode(), "clientKeyData": key}


def main() -> None:
    kind, user, kubeconfig, namespace, lifetime = sys.argv[1:]
    kubectl = Kubectl(kubeconfig, namespace)
    made = token(kubectl, user) if kind == "token" else certificate(kubectl, user)
    expires = datetime.now(UTC) + timedelta(seconds=float(lifetime))
    status = {**made, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
    with open(os.environ["CREDENTIAL_LOG"], "a") as log:
        log.write(f"{time.time():.2f}\n")
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
