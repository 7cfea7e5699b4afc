"""Credentials end in the middle of a long session, the developer's and the agents': renewed, and nobody notices."""

import asyncio
import base64
import json
import signal
import sys
import time
from pathlib import Path

import pytest

from e2e.kubectl import Object
from e2e.load import Report
from e2e.scene import PATIENCE, Scene
from interceptor.kube import Cluster, load_access
from interceptor.session.keeper import Keeper
from interceptor.workload.objects import SessionNames
from tests.session.scene import Recorder

LIFETIME = 14  # seconds that each credential says it lives; the client renews 10 s before the end
HELD = 26.0


def kubeconfig(scene: Scene, kind: str) -> tuple[Path, Path]:
    """A developer `dev` with short-lived credentials; and the file in which each new one is noted."""
    scene.kubectl("create", "serviceaccount", "dev")
    who = f"--serviceaccount={scene.namespace}:dev" if kind == "token" else "--user=dev"
    scene.kubectl("create", "rolebinding", "dev", "--clusterrole=cluster-admin", who)
    config: Object = scene.kubectl.json("config", "view", "--raw", "--flatten", "--minify")
    log = scene.folder / "credentials"
    arguments = [kind, "dev", str(scene.kubectl.kubeconfig), scene.namespace, str(LIFETIME)]
    plugin: Object = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-m", "e2e.programs.credential", *arguments],
        "env": [{"name": "CREDENTIAL_LOG", "value": str(log)}],
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": plugin}
    path = scene.folder / "kubeconfig-with-plugin"
    path.write_text(json.dumps(config))
    return path, log


@pytest.mark.parametrize("kind", ["token", "certificate"])
def test_expiring_credential_is_renewed(scene: Scene, kind: str) -> None:
    path, log = kubeconfig(scene, kind)
    scene.echo()
    load = scene.load()
    load.wait_for("CLUSTER")
    local = scene.local()
    intercept = scene.started(
        "deploy/echo", "--port", f"{local.port}:8080", env=scene.environment(KUBECONFIG=str(path))
    )
    load.wait_steady("LOCAL")
    held = time.time()
    load.run_for(HELD)
    ended = time.time()
    assert intercept.stop() == 130, intercept.transcript()
    renewed = [float(line) for line in log.read_text().split()]
    scene.measured(f"{len(renewed)} {kind}s in a session of {HELD:.0f} s")
    assert sum(held < at < ended for at in renewed) >= 2, renewed
    assert "lost" not in {event.name for event in intercept.events}, intercept.transcript()
    report = load.finish()
    assert Report(report).between(held, ended).words() == {"LOCAL"}, report.told()
    assert not report.failed, report.failed[:3]


def test_agents_token_is_renewed(scene: Scene) -> None:
    """The Secret gets another token of the same account, and agents that are left alone restore with it."""
    scene.echo()
    load = scene.load()
    before = scene.fingerprint()
    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    session = intercept.wait_for("planned")["session"]
    names = SessionNames(session, scene.namespace, "echo")

    def token() -> str:
        return base64.b64decode(scene.kubectl.json("get", "secret", names.object)["data"]["token"]).decode()

    async def renew() -> None:
        async with Cluster(load_access(str(scene.kubectl.kubeconfig))) as cluster:
            keeper = Keeper(cluster, names, Recorder(), lambda error: None, token_seconds=600, renew_token_every=0.5)
            first = token()
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                renewing = group.create_task(keeper.renew_token(), name="renew the token")
                while await asyncio.to_thread(token) == first:  # noqa: ASYNC110  it is another object that changes
                    await asyncio.sleep(0.1)
                renewing.cancel()

    asyncio.run(renew())
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token()}}
    told = json.loads(scene.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))["status"]
    assert told["user"]["username"] == f"system:serviceaccount:{scene.namespace}:{names.object}", told
    killed = time.time()
    intercept.send(signal.SIGKILL)
    healed = load.wait_for("CLUSTER", after=killed, timeout=PATIENCE)
    scene.measured(f"healed after {healed.end - killed:.1f} s")
    scene.expect_same(before)
