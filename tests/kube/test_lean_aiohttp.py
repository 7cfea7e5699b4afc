"""What the system trusts is not read for nothing, and the environment is as it was."""

import json
import os
import subprocess
import sys

import pytest

ASK = """
import json, os
import interceptor.kube
from aiohttp import connector
print(json.dumps([os.environ.get("SSL_CERT_FILE"), len(connector._SSL_CONTEXT_VERIFIED.get_ca_certs())]))
"""


@pytest.mark.parametrize("theirs", [None, "/somewhere/authorities.pem"])
def test_nobody_is_trusted_unasked(theirs: str | None) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    env |= {"SSL_CERT_FILE": theirs} if theirs else {}
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == [theirs, 0]
