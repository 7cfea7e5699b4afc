"""The developer's machine has the wrong time of day: everything works, since nobody compares its clock with another's."""

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.api import Credentials
from e2e.scene import PATIENCE, Scene

SOURCE = Path(__file__).parent / "programs" / "clock.c"
HOUR = 3600


@pytest.mark.parametrize("offset", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_wrong_clock_works(scene: Scene, offset: int) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler for the shim that shifts the clock")
    shim = scene.folder / "clock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, SOURCE, "-ldl"], check=True)
    env = scene.environment(LD_PRELOAD=str(shim), CLOCK_OFFSET=str(offset))
    wrong = subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"], env=env, text=True)
    assert abs(float(wrong) - time.time() - offset) < 60
    if offset < 0 and certificate_age(scene) < HOUR:
        pytest.skip("this cluster's certificate is younger than an hour: then no TLS client may believe it")
    load = scene.echo_under_load()
    load.wait_for("CLUSTER")
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", env=env)
        load.wait_steady("LOCAL")
        renewed = scene.kubectl.json("get", "lease", "interceptor-deployment-echo")["spec"]["renewTime"]
        away = (datetime.fromisoformat(renewed) - datetime.now(UTC)).total_seconds()
        assert abs(away - offset) < 60  # the Lease shows the wrong clock: the shim reached the client
        held = time.time()
        if offset > 0:
            load.run_for(17)  # longer than a Lease lasts
            assert {one.word for one in load.answers if one.at > held} == {"LOCAL"}
            assert intercept.stop() == 130, intercept.transcript()
        else:  # the other way round: a Lease of the past or the future makes nobody dead or alive
            killed = time.time()
            intercept.send(signal.SIGKILL)
            found = load.wait_for("CLUSTER", after=killed, timeout=PATIENCE)
            scene.measured(f"clock off by {offset:+d} s: healed after {found.end - killed:.1f} s")
    load.wait_steady("CLUSTER")


def certificate_age(scene: Scene) -> float:
    """Seconds since the API server's certificate began to be valid."""
    far = Credentials(scene.kubectl)
    raw = socket.create_connection((far.host, far.port), 10)
    with far.context.wrap_socket(raw, server_hostname=far.name) as tls:
        certificate = tls.getpeercert() or {}
    return time.time() - ssl.cert_time_to_seconds(str(certificate["notBefore"]))
