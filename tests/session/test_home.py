"""Where COMMAND lives is known before anything is changed."""

from __future__ import annotations

import pytest

from tests.sandbox import world


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "intercept"])
def test_impossible_sandbox_is_told_first(command: str) -> None:
    """Before a cluster is asked: nobody's pods are exchanged for a COMMAND that can't live here."""
    access = ("--kubeconfig", "/no/such/kubeconfig")
    words = world.module("interceptor", command, *access, "orders", "--sandbox", "namespace", "--", "true")
    with world.start_program(world.module("tests.sandbox.restricted", "max_user_namespaces", *words)) as process:
        out, err = process.communicate(timeout=50)
    assert (process.returncode, out) == (1, "")
    assert "no sandbox can be made here (namespaces: " in err
    assert "--sandbox proxy goes without; interceptor doctor says what this machine lacks" in err
    assert "kubeconfig" not in err


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "proxy"])
def test_other_modes_ask_the_cluster(mode: str) -> None:
    """Where another home will do, nobody is refused for want of a sandbox."""
    words = world.module(
        "interceptor", "run", "--kubeconfig", "/no/such/kubeconfig", "orders", "--sandbox", mode, "--", "true"
    )
    with world.start_program(world.module("tests.sandbox.restricted", "max_user_namespaces", *words)) as process:
        _, err = process.communicate(timeout=50)
    assert "/no/such/kubeconfig" in err
