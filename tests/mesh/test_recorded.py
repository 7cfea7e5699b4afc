"""The same words as Linkerd's own CLI, byte by byte: outputs recorded on a real one, states made again here."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.mesh import certs
from e2e.mesh.installation import PROXY_IMAGE, Installation, encoded
from interceptor.cli.check_words import JsonPrinter, TablePrinter
from interceptor.cli.words import PlainWords
from interceptor.mesh.check.model import Row
from tests.mesh.api import MeshApi
from tests.mesh.cluster import DATA
from tests.mesh.conftest import Checked

RECORDED = Path(__file__).parent / "recorded"
State = Callable[[MeshApi, Installation], None]


def healthy(_: MeshApi, __: Installation) -> None:
    pass


def not_installed(api: MeshApi, _: Installation) -> None:
    api.remove("ConfigMap", "linkerd-config")


def destination_scaled_to_0(api: MeshApi, _: Installation) -> None:
    api.remove("Pod", "linkerd-destination-5b8cbd64d6-aaaaa")


def issuer(api: MeshApi, installed: Installation, end: datetime.datetime) -> None:
    days = (end - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400
    pair = certs.issuer(installed.anchor, begin=min(-1, days - 1), end=days)
    data = {"crt.pem": encoded(pair.pem), "key.pem": encoded(pair.key)}
    api.find("Secret", "linkerd-identity-issuer")["data"] = data


def issuer_expired(api: MeshApi, installed: Installation) -> None:
    issuer(api, installed, datetime.datetime.fromisoformat("2026-11-21T03:38:34.5Z"))


def issuer_expiring(api: MeshApi, installed: Installation) -> None:
    issuer(api, installed, datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=20))


def webhook_ca_mismatch(api: MeshApi, _: Installation) -> None:
    config = api.find("MutatingWebhookConfiguration", "linkerd-proxy-injector-webhook-config")
    config["webhooks"][0]["clientConfig"]["caBundle"] = encoded(certs.authority("other").pem)


def trust_anchor_added_pods_stale(api: MeshApi, installed: Installation) -> None:
    roots = api.find("ConfigMap", "linkerd-identity-trust-roots")
    roots["data"]["ca-bundle.crt"] += certs.authority("second").pem


def outdated_proxy(api: MeshApi, _: Installation) -> None:
    pod = api.find("Pod", "bind-pod-7bf7b64758-crv5j")
    pod["metadata"]["name"] = "bind-pod-78489849b-vcnk7"
    pod["spec"]["initContainers"][0]["image"] = f"{PROXY_IMAGE}:edge-26.1.1"


def misplaced_annotations(api: MeshApi, _: Installation) -> None:
    api.find("Pod", "bind-lo-8d78b7457-57wjx")["metadata"]["labels"]["config.linkerd.io/proxy-log-level"] = "x"
    api.find("Service", "bind-lo")["metadata"]["labels"] = {"config.linkerd.io/opaque-ports": "8080"}
    api.find("Service", "bind-all")["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": "8080"}


def dataplane_proxy_unready(api: MeshApi, _: Installation) -> None:
    pod = api.find("Pod", "bind-lo-8d78b7457-57wjx")
    pod["status"]["initContainerStatuses"][0]["ready"] = False


STATES = (
    healthy, not_installed, destination_scaled_to_0, issuer_expired, issuer_expiring, webhook_ca_mismatch,
    trust_anchor_added_pods_stale, outdated_proxy, misplaced_annotations, dataplane_proxy_unready,
)  # fmt: skip
FORMS = ("table", "short", "json")


def recorded(state: State, proxy: bool) -> dict[str, str]:
    """What was recorded of a state, by form."""
    name = f"check_{'proxy_' if proxy else ''}{state.__name__}"
    return {form: path.read_text() for form in FORMS if (path := RECORDED / f"{name}.{form}").exists()}


CASES = [(state, proxy) for state in STATES for proxy in (False, True) if recorded(state, proxy)]


def printed(rows: list[Row], form: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints."""
    with ExitStack() as busy:
        words = PlainWords(sys.stderr, sys.stdout)
        printer = JsonPrinter(busy, words) if form == "json" else TablePrinter(busy, words, short=form == "short")
        for row in rows:
            printer.tell(row)
        printer.end(all(row.result != "error" for row in rows))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "proxy"), CASES, ids=[f"{state.__name__}{'-proxy' if proxy else ''}" for state, proxy in CASES]
)
async def test_prints_as_linkerd(
    api: MeshApi,
    installed: Installation,
    checked: Checked,
    capsys: pytest.CaptureFixture[str],
    state: State,
    proxy: bool,
) -> None:
    state(api, installed)
    rows = await checked(proxy=proxy)
    for form, text in recorded(state, proxy).items():
        if state is issuer_expiring:  # in twenty days, whenever this runs
            (mine,) = [row.error for row in rows if row.result == "warning"]
            text = text.replace("2026-12-13T03:38:34Z", mine.rpartition(" ")[2])  # noqa: PLW2901
        assert printed(rows, form, capsys) == text


async def test_pre_prints_as_linkerd(api: MeshApi, checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    api.remove("Namespace", "linkerd")
    api.objects.append((_authentication(), "kube-system"))
    rows = await checked(pre=True, expected_version="edge-26.8.1")
    assert printed(rows, "table", capsys) == (RECORDED / "check_pre.txt").read_text()


def _authentication() -> dict[str, object]:
    metadata = {"name": "extension-apiserver-authentication", "namespace": DATA}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"requestheader-client-ca-file": "x"}}
