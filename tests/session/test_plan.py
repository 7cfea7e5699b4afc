"""Decisions that need no cluster: which agent, which environment, whose workload it is, which pod counts."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.environment import environment_of
from interceptor.session.localside import addresses_of
from interceptor.session.others import followed, taken
from interceptor.session.plan import PUBLIC_IMAGE, Plan, choose_agent, describe, details_of, dry_run, holder
from interceptor.session.pods import Pod
from interceptor.swap import SESSION_ANNOTATION, SWAP_ANNOTATION, SwapPlan, swap
from interceptor.workload.edits import AGENT as AN_AGENT
from interceptor.workload.edits import Author
from interceptor.workload.inspect import PodFacts
from interceptor.workload.kinds import DEPLOYMENT
from interceptor.workload.objects import SessionNames
from interceptor.workload.ports import PortMap
from interceptor.workload.rights import needed

SESSION = "orders-x7f2q"
UNASKED = PodFacts(None, None, "you may not exec into its pods")
NO_PYTHON = PodFacts(None, {"PATH": "/bin"}, "it has no Python", "orders-1", asked=True)
PYTHON = PodFacts("/usr/bin/python3.12", {}, "", "orders-1", asked=True)


def workload() -> dict[str, Any]:
    container = {
        "name": "app",
        "image": "shop/orders:1",
        "command": ["orders"],
        "env": [{"name": "WORD", "value": "template"}, {"name": "LANG", "value": "fr"}, {"name": "GONE"}],
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    template = {"metadata": {"labels": {"app": "orders"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "orders"}}, "template": template}
    return {"kind": "Deployment", "metadata": {"name": "orders", "namespace": "shop"}, "spec": spec}


def plan(image: str | None, facts: PodFacts) -> Plan:
    ports = (PortMap(pod=8080, local=9000, name="http"),)
    what = SwapPlan(
        session=SESSION,
        container="app",
        command=("python3", "-I", "/x/agent.pyz"),
        holder="ana@laptop",
        since="2026-01-01",
        health_port=47812,
        secret=f"interceptor-{SESSION}",
        image=image,
    )
    lacking = (needed(DEPLOYMENT, "orders")[0],)
    names = SessionNames(SESSION, "shop", "orders")
    return Plan(names, workload(), what, ports, facts, 47811, (), False, lacking, lacking, True)


# --- which agent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "facts", "chosen"),
    [
        (None, PYTHON, (None, "/usr/bin/python3.12")),
        (None, NO_PYTHON, (PUBLIC_IMAGE, "python3")),
        (None, UNASKED, (PUBLIC_IMAGE, "python3")),
        ("own", PYTHON, (None, "/usr/bin/python3.12")),
        ("own", UNASKED, (None, "python3")),  # nobody could ask: the person says it has one
        ("vetted/agent:2", PYTHON, ("vetted/agent:2", "python3")),
        ("vetted/agent:2", NO_PYTHON, ("vetted/agent:2", "python3")),
    ],
)
def test_agent_is_chosen(wanted: str | None, facts: PodFacts, chosen: tuple[str | None, str]) -> None:
    assert choose_agent(wanted, facts) == chosen


def test_own_image_without_python_is_refused() -> None:
    with pytest.raises(InterceptorError, match="the container's own image: it has no Python") as caught:
        choose_agent("own", NO_PYTHON)
    assert PUBLIC_IMAGE in caught.value.hint


def test_holder_names_person_and_machine() -> None:
    user, at, machine = holder().partition("@")
    assert user
    assert (at, machine) == ("@", socket.gethostname())


def test_dry_run_keeps_secrets_to_itself() -> None:
    told = dry_run(plan(None, PYTHON))
    secret = told["objects to be created"][-1]
    assert isinstance(secret, dict)
    assert "data" not in secret
    assert "tls.key" in secret["keys"]
    assert told["missing rights"] == ["get deployments.apps"]


def test_details_say_what_goes_where() -> None:
    details = details_of(plan(None, PYTHON))
    assert (details["workload"], details["agent_image"]) == ("deploy/orders", "own")
    assert details["ports"] == [{"pod": 8080, "local": 9000, "name": "http"}]


def test_udp_is_said() -> None:
    ports = (PortMap(pod=8080, local=9000, name="http"), PortMap(pod=53, local=1053, name="", protocol="UDP"))
    both = replace(plan(None, PYTHON), ports=ports)
    assert details_of(both)["ports"] == [
        {"pod": 8080, "local": 9000, "name": "http"},
        {"pod": 53, "local": 1053, "name": "", "protocol": "UDP"},
    ]
    assert "port 8080 (http) -> 127.0.0.1:9000, 53/udp -> 127.0.0.1:1053; agent" in describe(both, "127.0.0.1")


# --- which environment -----------------------------------------------------------------------------------------

AGENT = {"WORD": "resolved", "LANG": "fr", "HOSTNAME": "orders-2", "PATH": "/python", "PYTHON_VERSION": "3.13",
         "KUBERNETES_PORT": "443"}  # fmt: skip


def test_own_image_is_believed() -> None:
    assert environment_of(plan(None, PYTHON), AGENT) == AGENT


def test_app_is_believed_where_it_was_asked() -> None:
    """What the image and the cluster set is the app's; what the template sets is of the pod that lives."""
    app = {"PATH": "/app", "WORD": "old", "HOSTNAME": "orders-1", "JAVA_HOME": "/java", "KUBERNETES_PORT": "443"}
    facts = PodFacts(None, app, "it has no Python", "orders-1", asked=True)
    expected = app | {"WORD": "resolved", "LANG": "fr", "HOSTNAME": "orders-2"}
    assert environment_of(plan("python:3.13-slim", facts), AGENT) == expected


def test_agents_image_is_left_out() -> None:
    """Where nobody could ask the app: what the template names stays, whatever Python's image sets goes."""
    found = environment_of(plan("python:3.13-slim", UNASKED), AGENT)
    assert found == {"WORD": "resolved", "LANG": "fr", "HOSTNAME": "orders-2", "KUBERNETES_PORT": "443"}


# --- whose it is -----------------------------------------------------------------------------------------------

ANA = Author("kubectl edit", "08:00:52 UTC")


def swapped(image: str | None = None) -> dict[str, Any]:
    return swap(workload(), plan(image, PYTHON).swap)


def app(found: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return container


def why(found: dict[str, Any], author: Author = ANA, image: str | None = None) -> str:
    error = taken(plan(image, PYTHON), found, author)
    return "" if error is None else error.message


def test_ours_is_ours() -> None:
    assert why(swapped()) == ""


def test_beside_ours_is_no_matter() -> None:
    found = swapped()
    found["spec"]["replicas"] = 7
    app(found)["env"].append({"name": "NEW", "value": "1"})
    found["metadata"]["labels"] = {"team": "shop"}
    assert why(found) == ""


def test_taken_is_said() -> None:
    assert why(workload()) == "deploy/orders: kubectl edit took the swap back at 08:00:52 UTC"
    found = swapped()
    app(found)["command"] = ["theirs"]
    assert why(found) == (
        "deploy/orders: kubectl edit changed containers[app].command at 08:00:52 UTC; that stays, the rest goes back"
    )
    app(found)["command"] = ["orders"]
    assert "kubectl edit put back containers[app].command" in why(found)
    app(found)["name"] = "web"
    assert "kubectl edit removed container app" in why(found)


def test_other_session_is_said() -> None:
    other = swapped()
    other["metadata"]["annotations"][SWAP_ANNOTATION] = other["metadata"]["annotations"][SWAP_ANNOTATION].replace(
        SESSION, "orders-other"
    )
    assert why(other) == "deploy/orders: ana@laptop intercepts it now"


@pytest.mark.parametrize("agent", [None, "python:3.13-slim"])
def test_new_image_ends_it(agent: str | None) -> None:
    """Also where the agent runs in the image that was there, and so did not change it."""
    found = swapped(agent)
    app(found)["image"] = "shop/orders:2"
    assert "changed containers[app].image" in why(found, image=agent)


def test_agents_are_told_from_others() -> None:
    assert "an agent restored it" in why(workload(), Author(AN_AGENT, ""))


def test_healer_can_be_paused() -> None:
    error = taken(plan(None, PYTHON), workload(), Author("Argo CD", ""))
    assert error is not None
    assert "self-heal" in error.hint


def test_what_is_followed_is_told() -> None:
    what = plan(None, PYTHON)
    found = swapped()
    found["spec"]["replicas"] = 0
    [event] = followed(what, found, [("spec", "replicas")], ANA)
    assert (event.name, event.text) == (
        "waiting", "deploy/orders is scaled to 0 by kubectl edit at 08:00:52 UTC: no pod to serve for"
    )  # fmt: skip
    [event] = followed(what, found, [("metadata", "labels", "team")], Author())
    assert event.text == "somebody changed labels.team of deploy/orders: that stays"
    [event] = followed(what, found, [("spec", "template", "spec", "containers", {"name": "x"}, "image")], ANA)
    assert event.text.endswith("that stays; the pods that come of it are served here too")


# --- which pod -------------------------------------------------------------------------------------------------


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "orders-1", "uid": "u"}, "spec": {}, "status": status}


def test_new_pod_is_nothing_yet() -> None:
    found = Pod.of({"metadata": {"name": "orders-1", "uid": "u"}, "spec": {}}, "app")
    assert (found.address, found.session) == ("", "")
    assert not any([found.scheduled, found.running, found.ready, found.ending])


def test_running_pod_is_read() -> None:
    raw = pod(
        podIP="10.0.0.7",
        phase="Running",
        conditions=[{"type": "Ready", "status": "True"}],
        containerStatuses=[{"name": "app", "state": {"running": {}}}],
    )
    raw["spec"]["nodeName"] = "one"
    raw["metadata"]["annotations"] = {SESSION_ANNOTATION: SESSION}
    found = Pod.of(raw, "app")
    assert (found.address, found.session) == ("10.0.0.7", SESSION)
    assert found.scheduled
    assert found.running
    assert found.ready
    assert not found.ending
    assert not Pod.of(raw, "sidecar").running


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_ended_pod_is_ending(phase: str) -> None:
    assert Pod.of(pod(phase=phase), "app").ending


# --- where it goes ---------------------------------------------------------------------------------------------


async def test_each_port_gets_all_addresses() -> None:
    ports = (PortMap(pod=8080, local=9000, name=""), PortMap(pod=8080, local=9090, name="quic", protocol="UDP"))
    found = await addresses_of(ports, "127.0.0.1")
    assert found == {
        ("TCP", 8080): [(socket.AF_INET, ("127.0.0.1", 9000))],
        ("UDP", 8080): [(socket.AF_INET, ("127.0.0.1", 9090))],
    }


async def test_unknown_host_is_said() -> None:
    with pytest.raises(InterceptorError, match=r"--to no\.such\.host\.invalid"):
        await addresses_of((), "no.such.host.invalid")
