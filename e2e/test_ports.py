"""Scenario 3: ports by number and by name, chosen and left alone, as Services and containers declare them."""

from e2e import manifests
from e2e.scene import Scene

HTTP = {"containerPort": 8080, "name": "http"}
ADMIN = {"containerPort": 8081, "name": "admin"}


def services(scene: Scene) -> None:
    """Two services on one port of the container (by name, by number), one on another port."""
    scene.deploy(
        manifests.deployment(scene.container(HTTP, ADMIN)),
        manifests.service("by-name", "http", name="web"),
        manifests.service("by-number", 8080),
        manifests.service("admin", "admin"),
    )
    scene.tools()


def test_ports_by_number_and_name(scene: Scene) -> None:
    """The chosen port is served here, whatever Service leads there; the other one is held as documented. Then both."""
    services(scene)
    local, admin = scene.local(), scene.local("ADMIN")
    with scene.unchanged():
        for port in ("8080", "http"):
            intercept = scene.started("deploy/echo", "--port", f"{local.port}:{port}", "--hold", "1")
            scene.expect("http://by-name/", "200 LOCAL")
            scene.expect("http://by-number/", "200 LOCAL")
            assert scene.get("http://admin/") != "200 LOCAL"
            intercept.stop()
            scene.expect("http://admin/", "200 CLUSTER")
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:http", "--port", f"{admin.port}:8081")
        scene.expect("http://by-name/", "200 LOCAL")
        scene.expect("http://admin/", "200 ADMIN")
        intercept.stop()


def test_port_only_in_service(scene: Scene) -> None:
    """The container declares no port: what its Service aims at is intercepted without being named."""
    app = scene.container()
    del app["ports"]
    scene.deploy(manifests.deployment(app), manifests.service())
    scene.tools()
    local = scene.local(port=8080)
    assert local.port == 8080
    with scene.unchanged():
        intercept = scene.started("deploy/echo")
        scene.expect("http://echo/", "200 LOCAL")
        intercept.stop()


def test_to_another_address(scene: Scene) -> None:
    """`--to` names where requests go, and the path and the caller's words arrive unchanged."""
    scene.echo()
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("svc/echo", "--port", f"{local.port}:8080", "--to", "localhost")
        scene.expect("http://echo/some/path", "200 LOCAL")
        intercept.stop()
