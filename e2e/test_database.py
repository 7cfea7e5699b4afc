"""A web application as its author wrote it, with a real database in the cluster, runs unchanged on this machine."""

import time
from pathlib import Path

import pytest

from e2e import developer, manifests
from e2e.cluster import install
from e2e.scene import Scene, free_port

PACKAGES = ("fastapi", "uvicorn", "psycopg[binary]")
# Nothing in it knows of interceptor: a name, a variable, a mounted password, a pool of connections, a transaction.
SHOP = """
import os, pathlib, contextlib
import psycopg
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

def connect():
    password = pathlib.Path("/etc/database/password").read_text()
    return psycopg.connect(os.environ["DATABASE_URL"], password=password, connect_timeout=10)

@contextlib.asynccontextmanager
async def life(_):
    with connect() as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, word text NOT NULL)")
    yield

app = FastAPI(lifespan=life)

@app.get("/{word}")
def order(word: str):
    with connect() as database:
        database.execute("INSERT INTO orders (word) VALUES (%s)", [word])
        count, words = database.execute("SELECT count(*), string_agg(word, ',' ORDER BY id) FROM orders").fetchone()
    return PlainTextResponse(f"ORDERS-{count} {words}")
"""


def deploy(scene: Scene) -> None:
    """PostgreSQL, and the application it belongs to: in the cluster that is the echo app with the shop's settings."""
    password = {"secretKeyRef": {"name": "database", "key": "password"}}
    server = {
        "name": "app", "image": scene.cluster.database(), "imagePullPolicy": "IfNotPresent",
        "securityContext": {"runAsUser": developer.NOBODY, "runAsGroup": developer.NOBODY},
        "env": [{"name": "POSTGRES_USER", "value": "shop"}, {"name": "POSTGRES_PASSWORD", "valueFrom": password}],
        "ports": [{"containerPort": 5432}],
        "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
    }  # fmt: skip
    shop = scene.container(
        env=[{"name": "DATABASE_URL", "value": "postgresql://shop@database/postgres"}],
        volumeMounts=[{"name": "database", "mountPath": "/etc/database"}],
    )
    volumes = [{"name": "database", "secret": {"secretName": "database"}}]
    scene.kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"}, "stringData": {"password": "hu sh'%"}}
    )
    scene.deploy(
        manifests.deployment(server, name="database"), manifests.service("database", 5432, app="database", port=5432),
        manifests.deployment(shop, pod={"volumes": volumes}), manifests.service(),
    )  # fmt: skip


def packages(folder: Path) -> Path:
    """The application's own, where an unprivileged user may read them."""
    try:
        install(folder, *PACKAGES)
    except AssertionError as error:
        pytest.skip(f"no packages to be had: {error}")
    (folder / "shop.py").write_text(SHOP)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return folder


def test_application_runs_unchanged(scene: Scene) -> None:
    deploy(scene)
    scene.tools()
    site, port = packages(scene.folder / "site"), free_port()
    with scene.unchanged():
        running = developer.run(
            scene, "intercept", "-n", scene.namespace, "-o", "json", "deploy/echo", "--sandbox", "namespace",
            "-p", f"{port}:8080", "--", "env", f"PYTHONPATH={site}", developer.python(),
            "-m", "uvicorn", "shop:app", "--port", str(port),
        )  # fmt: skip
        running.wait_for("ready", 90)
        scene.expect("http://echo/first", "200 ORDERS-")
        began = time.monotonic()
        answers = [scene.get("http://echo/more") for _ in range(3)]
        scene.measured(f"{(time.monotonic() - began) / 3 * 1000:.0f} ms an order, kubectl exec included")
        assert all(answer.startswith("200 ORDERS-") for answer in answers), running.transcript()
        assert running.stop() in (0, 130)
    (pod,) = scene.kubectl.pods("app=database")
    ask = (
        'PGPASSWORD="$POSTGRES_PASSWORD" $(echo /opt/site/*/pginstall/bin/psql) -h 127.0.0.1 -U shop -d postgres -Atc '
        "'SELECT count(*) FROM orders'"
    )
    count = int(scene.exec(pod["metadata"]["name"], "sh", "-c", ask))
    assert f"ORDERS-{count}" in answers[-1]
