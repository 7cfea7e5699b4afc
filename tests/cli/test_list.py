"""`interceptor list` as a person and as a script reads it."""

from __future__ import annotations

import pytest

from interceptor.cli.list import _print_table, document
from interceptor.session.holding import Holding
from interceptor.session.holdings import Holdings
from interceptor.workload.kinds import DEPLOYMENT, STATEFUL_SET, Kind, WorkloadRef


def holding(name: str, kind: Kind = DEPLOYMENT, **more: object) -> Holding:
    session = f"{name}-x7f2q"
    found = Holding("shop", session, WorkloadRef(kind, "shop", name, session), swapped=True, alive=True)
    found.holder, found.since = "ana@laptop", "2026-11-23 07:54:28 UTC"
    for field, value in more.items():
        setattr(found, field, value)
    return found


FOUND = Holdings(
    [holding("orders", pods=["b", "a"]), holding("carts", STATEFUL_SET, alive=False, holder="bob@desk")],
    ["jobs: no right to list jobs"],
)


def test_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(FOUND, "shop")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "WORKLOAD        HOLDER       SINCE                     ALIVE   PODS   STATE",
        "deploy/orders   ana@laptop   2026-11-23 07:54:28 UTC   yes     2      held",
        "sts/carts       bob@desk     2026-11-23 07:54:28 UTC   no      0      silent",
    ]
    assert printed.err.splitlines() == [
        "not seen: jobs: no right to list jobs",
        "to take it back: interceptor restore sts/carts -n shop",
    ]


def test_all_namespaces_have_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(FOUND, None)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["NAMESPACE", "shop", "shop"]


def test_nothing_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(Holdings([], []), "shop")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "no intercepts in namespace shop\n")


def test_document_is_stable() -> None:
    first, second = document(FOUND)["intercepts"]
    assert first == {
        "namespace": "shop", "workload": "deploy/orders", "session": "orders-x7f2q", "holder": "ana@laptop",
        "since": "2026-11-23 07:54:28 UTC", "alive": True, "state": "held", "pods": ["a", "b"], "leftover": None,
        "hint": None,
    }  # fmt: skip
    assert second["hint"] == "to take it back: interceptor restore sts/carts -n shop"
    leftover = Holding("shop", "orders-x7f2q", alive=False, leftover="a Lease without a session")
    (found,) = document(Holdings([leftover], []))["intercepts"]
    assert (found["workload"], found["state"]) == (None, "leftover")
    assert found["hint"] == "to remove what was left: interceptor restore --all -n shop"
