"""`interceptor debug` refuses what can't go together before it asks a cluster, and prints what it found."""

from __future__ import annotations

import pytest

from interceptor.cli.debug_tables import document, resolution_lines
from interceptor.session.debug.dns import Answer, Resolution, Resolver
from tests.cli.test_main import typed

NOWHERE = {"KUBECONFIG": "/nonexistent"}


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (("--capture", "x.pcap", "--connections"), "exclude each other"),
        (("--dns", "echo", "--", "ls"), "exclude each other"),
        (("--filter", "port 80"), "needs --capture"),
        (("--capture", "-", "-o", "json"), "both want stdout"),
        (("--inject", "--copy"), "exclude each other"),
        (("--inject", "--image", "x"), "does not go with --image"),
        (("--profile", "everything"), "'everything'"),
    ],
)
def test_contradictions_are_refused(words: tuple[str, ...], telling: str) -> None:
    done = typed("debug", "deploy/web", *words, environ=NOWHERE)
    assert done.returncode == 2
    assert telling in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_name_is_refused() -> None:
    done = typed("debug", "deploy/web", "--dns", "-x", environ=NOWHERE)
    assert (done.returncode, "is no name" in done.stderr) == (1, True)


RESOLVER = Resolver(("10.96.0.10",), ("shop.svc.cluster.local",), 5)
ASKED = [
    Answer(
        "echo.shop.svc.cluster.local.", "A", "NOERROR", ("echo.shop.svc.cluster.local. 5 IN A 10.96.3.4",), 4, "s:53"
    ),
    Answer("echo.shop.svc.cluster.local.", "AAAA", "no answer", (), None, ""),
]


def test_resolution_is_told_in_order() -> None:
    text = "\n".join(
        resolution_lines(Resolution("web-1", "echo", RESOLVER, ASKED, ["10.96.3.4"], "echo.shop.svc.cluster.local."))
    )
    assert "ndots 5" in text
    assert "4 ms" in text
    assert text.endswith("echo is 10.96.3.4, as echo.shop.svc.cluster.local.")


def test_unresolved_name_is_told() -> None:
    found = Resolution("web-1", "nope", RESOLVER, ASKED[1:])
    assert list(resolution_lines(found))[-1] == "nope does not resolve"
    assert document(found)["resolved"] is False
    assert document(found)["asked"][0]["status"] == "no answer"
