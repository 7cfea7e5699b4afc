"""What of this machine COMMAND may reach, and what was typed of it that means nothing."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from interceptor.errors import InterceptorError, UsageError
from interceptor.session.intercept import intercept
from interceptor.session.options import Access, HomeOptions, InterceptOptions, RunOptions
from interceptor.session.places import Places, check_mounts, find_places, name_files
from interceptor.session.run import run
from tests.session.scene import Recorder

NOWHERE = Access(kubeconfig="/no/such/kubeconfig")  # so whatever is said is said before a cluster is asked


async def test_places_are_found() -> None:
    options = HomeOptions(local=("5432", "localhost:6379", "192.0.2.7:80", "[2001:db8::7]:443"), local_net=True)
    found = await find_places(options)
    assert found == Places(frozenset({5432, 6379}), frozenset({("192.0.2.7", 80), ("2001:db8::7", 443)}), whole=True)


def test_names_beyond_are_in_hosts() -> None:
    network = {"hosts": "10.1.2.3\torders-7d4f\n", "resolv": "nameserver 10.96.0.10\n", "hostname": "orders-7d4f"}
    files = {file.target: file.text for file in name_files(network, Places(names=(("192.0.2.7", "db.lan"),)))}
    assert files["/etc/hosts"] == "10.1.2.3\torders-7d4f\n192.0.2.7\tdb.lan\n"
    assert files["/etc/resolv.conf"] == "nameserver 10.96.0.10\n"


@pytest.mark.parametrize(
    ("home", "said"),
    [
        (HomeOptions(mounts=("none", "rw")), "--mount none goes alone"),
        (HomeOptions(mounts=("data",)), "--mount data"),
        (HomeOptions(local=("no.such.host.invalid:5",)), "--local no.such.host.invalid:5"),
        (HomeOptions(local=("no..such:5",)), "no host can have this name"),
        (HomeOptions(local=(f"{'a' * 70}.lan:5",)), "no host can have this name"),
    ],
)
@pytest.mark.parametrize("command", ["run", "intercept"])
async def test_mistakes_are_told_first(command: str, home: HomeOptions, said: str) -> None:
    """Before a cluster is asked: nobody's pods are exchanged for a word mistyped."""
    running: Coroutine[Any, Any, int]
    if command == "run":
        running = run(RunOptions("orders", ("true",), home=home, access=NOWHERE), Recorder())
    else:
        running = intercept(InterceptOptions("orders", home=home, access=NOWHERE), Recorder())
    with pytest.raises(InterceptorError, match=said):
        await running


def _pod(*paths: str, container: str = "app") -> dict[str, Any]:
    mounts = [{"name": "some", "mountPath": path} for path in paths]
    return {"spec": {"containers": [{"name": container, "volumeMounts": mounts}]}}


def test_volumes_are_known_before() -> None:
    """The template's and what admission added to a pod; a pod of another template tells nothing."""
    workload = {"spec": {"template": _pod("/data")}}
    pods = [_pod("/data", "/var/run/secrets/vault"), _pod(container="other")]
    for path in ("/data", "/var/run/secrets/vault", "/data/:/here"):
        check_mounts(HomeOptions(mounts=(path,)), workload, pods, "app")
    with pytest.raises(UsageError, match="--mount /dat: the container has no volume there") as caught:
        check_mounts(HomeOptions(mounts=("/dat",)), workload, pods, "app")
    assert caught.value.hint == "did you mean /data? it has /data, /var/run/secrets/vault"
    check_mounts(HomeOptions(mounts=("/dat",)), workload, [], "app")  # nobody knows
