"""The fixtures of the scenarios: one cluster a run, one namespace a test, and what to look at when one fails.

Settings: KUBECONFIG, E2E_PYTHON_IMAGE (base of the test image and of agents), E2E_IMAGE (a ready test image),
E2E_INTERCEPTOR (the command under test), E2E_LONG=1 (the long waits in full), E2E_KEEP=1 (leave namespaces).
"""

import os
import re
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster, Unavailable
from e2e.kubectl import Kubectl
from e2e.scene import MEASURED, Scene
from tests.inherited import forget_process
from tests.reruns import pytest_runtest_setup, pytest_timeout_set_timer, tell_first_failures

__all__ = ["pytest_runtest_setup", "pytest_timeout_set_timer"]  # hooks
HERE = Path(__file__).resolve().parent
REPORT = pytest.StashKey[pytest.TestReport]()


def pytest_configure() -> None:
    forget_process()  # the clients under test are to hear Ctrl-C, whoever started the run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            # A cluster of two busy processors stalls for seconds at a time (a mount that the kubelet gives up and tries
            # again, a Service that its proxy hears of late). Once anew, and told whole at the end of the run.
            item.add_marker(pytest.mark.flaky(reruns=1))
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(300))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[REPORT] = report
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tell_first_failures(terminalreporter)
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of this run; taken down only if this run started it."""
    try:
        cluster = Cluster.up()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield cluster
    cluster.down()


@pytest.fixture(scope="session")
def image(cluster: Cluster) -> str:
    """The image with `programs/`, in the cluster's node."""
    try:
        return cluster.programs()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def kubectl(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace, deleted at the end; after a failure first told what stands in it."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    kubectl = Kubectl(cluster.kubeconfig, f"e2e-{readable}-{secrets.token_hex(2)}")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    report = request.node.stash.get(REPORT, None)
    if report and report.failed:
        print(kubectl("get", "all,leases,roles,secrets", "-o", "wide", check=False))
        print(kubectl("get", "events", "--sort-by=.lastTimestamp", check=False))
        print(kubectl("logs", "--prefix", "--tail=30", "-l", "app", "--all-containers", check=False))
    if os.environ.get("E2E_KEEP") != "1":
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture
def scene(cluster: Cluster, kubectl: Kubectl, image: str, tmp_path: Path) -> Iterator[Scene]:
    """Everything a scenario needs, ended in reverse."""
    scene = Scene(cluster, kubectl, image, tmp_path)
    with scene.stack:
        yield scene
