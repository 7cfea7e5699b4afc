"""`interceptor profile`: what is refused before anything is asked, and what needs no cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from interceptor.cli.profile import document
from interceptor.mesh.profile.rows import rows
from interceptor.session.profile import Shown
from tests.cli.test_main import typed
from tests.mesh.profile.objects import BOOKS, FLAKY, found, match, profile, route

NOWHERE = {"KUBECONFIG": "/nonexistent"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "svc/x", "--route", "a"), "nothing to set"),
        (("set", "svc/x", "--route", "a", "--timeout", "25m", "--for", "0.5s"), "--for takes 1s to 24h"),
        (("set", "svc/x", "--route", "a", "--retries", "0", "--retry-on", "5xx"), "--retries 0 tries nothing again"),
        (("set", "svc/x", "--route", "a", "--budget", "lots"), "'lots' is no budget"),
        (("set", "svc/x", "--route", "a", "--retries", "1", "--no-guard", "--guard-image", "x"), "exclude each other"),
        (("set", "svc/x", "--timeout", "1s"), "--route"),
        (("new", "svc/x"), "choose one of --open-api"),
        (("new", "svc/x", "--proto", "a", "--from-routes"), "choose one of --open-api"),
        (("new", "svc/x", "--from-tap", "0.5s"), "--from-tap takes 1s to 60m"),
        (("new", "svc/x", "--from-routes", "--window", "20m"), "--window takes 1s to 10m"),
    ],
)
def test_wrong_words(words: tuple[str, ...], told: str) -> None:
    done = typed("profile", *words, environ=NOWHERE)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_document_needs_no_cluster(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_text("openapi: 3.0.0\npaths: {'/books/{id}': {get: {}}}\n")
    done = typed(
        "profile", "new", "svc/books", "-n", "shop", "--ignore-cluster", "--open-api", str(file), environ=NOWHERE
    )
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(done.stdout)
    assert made["metadata"] == {"name": "books.shop.svc.cluster.local", "namespace": "shop"}
    assert made["spec"]["routes"] == [BOOKS]


def test_missing_file_is_told() -> None:
    done = typed(
        "profile", "new", "svc/x", "-n", "shop", "--ignore-cluster", "--proto", "/nonexistent.proto", environ=NOWHERE
    )
    assert (done.returncode, done.stderr) == (1, "error: /nonexistent.proto can't be read: No such file or directory\n")


def test_shown_as_json() -> None:
    both = found(profile(BOOKS, FLAKY), route("old", match("/old")))
    whole = json.loads(json.dumps(document(Shown(both, rows(both), [], []))))
    assert [(one["route"], one["in_force"]) for one in whole["routes"]] == [
        ("GET /books/{id}", True),
        ("GET /flaky", True),
        ("GET /old", False),
    ]
    assert whole["routes"][1]["retry_on"] == "5xx"
    assert whole["routes"][2]["shadowed_by"] == "serviceprofile/web.shop.svc.cluster.local"
