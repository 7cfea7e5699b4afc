"""The sandbox's packet rules, in a network namespace of an unprivileged user."""

import json

import pytest

from tests.sandbox.world import module, start_program


@pytest.mark.slow  # the kernel waits a second before it sends again
def test_lost_answer_is_no_reset() -> None:
    """What the kernel answers for a connection that it fails to find is kept back; what a socket answers is not."""
    with start_program(module("tests.sandbox.kernel.connected")) as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    said = json.loads(out)
    assert set(said["unheard"]) == {"sent again"}
    assert set(said["own"]) == {"ECONNRESET"}
    assert set(said["closed"]) <= {"EPIPE", "ECONNRESET"}
    assert said["closed"]


def test_many_ports_are_one_load() -> None:
    """As many as 200 of each protocol, at two addresses; and a second try finds nothing of the first."""
    with start_program(module("tests.sandbox.kernel.many_ports")) as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    first, second = json.loads(out)
    assert first == second > 2 * 2 * 200
