"""Credentials end in the middle of a long session, the developer's and the agents': renewed, and nobody notices."""

import asyncio
import base64
import json
import signal
import sys
import time
from pathlib import Path

from e2e import manifests
from e2e.intercept import Intercept
from e2e.kubectl import Object
from e2e.load import Report
from e2e.scene import PATIENCE, Scene
from interceptor.kube import Cluster, load_access
from interceptor.session.keeper import Keeper
from interceptor.workload.objects import SessionNames
from tests.session.scene import Recorder

LIFETIME = 14  # seconds that each credential says it lives; the client renews 10 s before the end
KINDS = ("token", "certificate")


def kubeconfig(scene: Scene, kind: str) -> tuple[Path, Path]:
    """A developer with short-lived credentials; and the file in which each new one is noted."""
    user = f"dev-{kind}"
    scene.kubectl("create", "serviceaccount", user)
    who = f"--serviceaccount={scene.namespace}:{user}" if kind == "token" else f"--user={user}"
    scene.kubectl("create", "rolebinding", user, "--clusterrole=cluster-admin", who)
    config: Object = scene.kubectl.json("config", "view", "--raw", "--flatten", "--minify")
    log = scene.folder / f"{kind}s"
    log.touch()
    arguments = [kind, user, str(scene.kubectl.kubeconfig), scene.namespace, str(LIFETIME)]
    plugin: Object = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-m", "e2e.programs.credential", *arguments],
        "env": [{"name": "CREDENTIAL_LOG", "value": str(log)}],
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": plugin}
    path = scene.folder / f"kubeconfig-with-{kind}s"
    path.write_text(json.dumps(config))
    return path, log


def test_expiring_credentials_are_renewed(scene: Scene) -> None:
    """Two developers, one with tokens and one with certificates, until each has had two more."""
    scene.deploy(
        *(manifests.deployment(scene.container(), name=kind) for kind in KINDS),
        *(manifests.service(kind, app=kind) for kind in KINDS),
    )
    loads = {kind: scene.load(f"http://{kind}", name=f"load-{kind}") for kind in KINDS}
    local = scene.local()
    logs: dict[str, Path] = {}
    sessions: dict[str, Intercept] = {}
    for kind, load in loads.items():
        load.wait_for("CLUSTER")
        path, logs[kind] = kubeconfig(scene, kind)
        env = scene.environment(KUBECONFIG=str(path))
        sessions[kind] = scene.intercept(f"deploy/{kind}", "--port", f"{local.port}:8080", env=env)
    for session in sessions.values():
        session.wait_for("ready")
    for load in loads.values():
        load.wait_steady("LOCAL")
    held = time.time()

    def renewed(kind: str) -> int:
        return sum(held < float(line) for line in logs[kind].read_text().splitlines())

    while min(renewed(kind) for kind in KINDS) < 2:
        assert time.time() - held < PATIENCE, [log.read_text() for log in logs.values()]
        time.sleep(0.5)
    time.sleep(2)  # with the second one
    ended = time.time()
    for kind, session in sessions.items():
        scene.measured(f"{renewed(kind)} {kind}s in {ended - held:.0f} s")
        assert session.stop() == 130, session.transcript()
        assert "lost" not in {event.name for event in session.events}, session.transcript()
        report = loads[kind].finish()
        assert Report(report).between(held, ended).words() == {"LOCAL"}, report.told()
        assert not report.failed, report.failed[:3]


def test_agents_token_is_renewed(scene: Scene) -> None:
    """The Secret gets another token of the same account, and agents that are left alone restore with it."""
    load = scene.echo_under_load()
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
