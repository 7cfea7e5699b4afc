"""What of this machine COMMAND may reach, and what was typed of it that means nothing."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.intercept import intercept
from interceptor.session.options import Access, HomeOptions, InterceptOptions, RunOptions
from interceptor.session.places import Places, find_places, name_files
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
