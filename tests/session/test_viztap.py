"""A workload that nobody intercepts, seen through Linkerd's tap: real TLS, real HTTP, Linkerd's own bytes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from interceptor.errors import InterceptorError
from interceptor.kube import Forbidden
from interceptor.mesh.traffic.filters import Filter
from interceptor.session import viztap_read
from interceptor.session.events import Event
from interceptor.session.options import Access
from interceptor.session.tap import NotIntercepted, TapOptions, follow
from interceptor.session.viztap import sorted_out
from interceptor.session.viztap_read import beginning
from tests.certificates import Authority
from tests.kube.apiserver import ApiServer, Handler, status
from tests.kube.conftest import kubeconfig
from tests.mesh.viztap.golden import GOLDEN, framed
from tests.session.scene import Recorder

Object = dict[str, Any]

API = "/apis/tap.linkerd.io/v1alpha1"
WATCH = f"{API}/watch/namespaces/shop/deployments/books/tap"
HTTP = ("http1 request", "http1 answer", "http1 end")
GRPC = ("grpc request", "grpc answer", "grpc end")


def pod(name: str, **annotations: str) -> Object:
    notes = {f"viz.linkerd.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    labels = {"app": "books", "linkerd.io/control-plane-ns": "linkerd"}
    metadata = {"name": name, "namespace": "shop", "uid": name, "labels": labels, "annotations": notes}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running"}}


def answers(*pieces: bytes, hold: bool = True, **headers: str) -> Handler:
    """Stream these, one after the other; the head comes with the first, as Go's server does it."""

    async def stream(request: web.Request) -> web.StreamResponse:
        if pieces:
            response = web.StreamResponse(headers={"Content-Type": "application/octet-stream", **headers})
            response.enable_chunked_encoding()
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
        if hold:
            await asyncio.Event().wait()
        return response

    return stream


class Told(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.ready = asyncio.Event()

    def tell(self, event: Event) -> None:
        super().tell(event)
        if event.name == "ready":
            self.ready.set()


class Viz:
    """An API server with deploy/books and, unless it is taken away, the tap API."""

    def __init__(self, server: ApiServer, folder: Path, authority: Authority) -> None:
        self.server = server
        self.told = Told()
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.url, authority.certificate)))
        self.options = TapOptions("deploy/books", access=Access(kubeconfig=str(path)))
        template = {"metadata": {"labels": {"app": "books"}}, "spec": {"containers": [{"name": "books", "image": "x"}]}}
        spec = {"selector": {"matchLabels": {"app": "books"}}, "template": template}
        metadata = {"name": "books", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        server.answer("GET /apis/apps/v1/namespaces/shop/deployments/books", (200, deployment))
        server.answer(f"GET {API}", (200, {"kind": "APIResourceList", "resources": []}))
        self.pods(pod("books-1", tap_enabled="true"))

    def pods(self, *pods: Object) -> None:
        listing = {"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": list(pods)}
        self.server.answer("GET /api/v1/namespaces/shop/pods", (200, listing))

    async def records(self, count: int, **changed: Any) -> list[Object]:
        found = []
        async with asyncio.timeout(10), aclosing(follow(replace(self.options, **changed), self.told)) as records:
            async for record in records:
                found.append(record)
                if len(found) == count:
                    break
        return found

    async def refused(self) -> InterceptorError:
        with pytest.raises(InterceptorError) as caught:
            await self.records(1)
        return caught.value


@pytest.fixture
async def viz(tmp_path: Path) -> AsyncIterator[Viz]:
    authority, server = Authority(), ApiServer()
    await server.start(authority.server_context(authority.leaf("api", "127.0.0.1"), tmp_path))
    yield Viz(server, tmp_path, authority)
    await server.stop()


async def test_requests_are_shown(viz: Viz) -> None:
    sent = framed(*HTTP, *GRPC)
    viz.server.answer(f"POST {WATCH}", answers(sent[:100], sent[100:]))
    http, grpc = await viz.records(2)
    assert (http["status"], http["caller"]["workload"], http["source"]) == (503, "deploy/web", "linkerd-viz")
    assert (grpc["grpc_status"], grpc["direction"], grpc["dropped"]) == (14, "outbound", 0)
    (text,) = viz.told.texts("ready")
    assert text.startswith("from Linkerd viz's tap: the requests at 1 pod of deployment books, at most 100 new ones")
    (asked,) = [seen for seen in viz.server.seen if seen.method == "POST"]
    assert asked.body == GOLDEN["ask for all"].data
    assert asked.headers["Authorization"] == "Bearer secret"


async def test_server_filters_what_it_can(viz: Viz) -> None:
    viz.server.answer(f"POST {WATCH}", answers(framed(*HTTP)))
    wanted = Filter(methods=("GET",), paths=("/books/*",), statuses=("5xx",))
    (record,) = await viz.records(1, wanted=wanted, callers=("deploy/web",), rps=7, most=1)
    assert record["path"] == "/books/17"
    asked = viz.server.seen[-1].body
    assert b"\x12\x03GET" in asked
    assert asked.count(b"/books/") == 1
    assert b"/books/*" not in asked


async def test_others_callers_are_left_out(viz: Viz) -> None:
    viz.server.answer(f"POST {WATCH}", answers(framed(*HTTP), hold=False), answers(framed(*GRPC)))
    assert [record["direction"] for record in await viz.records(1, callers=("10.42.0.11",))] == ["outbound"]


async def test_not_installed(viz: Viz) -> None:
    viz.server.answer(f"GET {API}", status(404, "NotFound", "not found"))
    error = await viz.refused()
    assert isinstance(error, NotIntercepted)
    assert "--attach" in error.hint


async def test_workload_outside_the_mesh(viz: Viz) -> None:
    lone = pod("books-1")
    del lone["metadata"]["labels"]["linkerd.io/control-plane-ns"]
    viz.pods(lone)
    error = await viz.refused()
    assert isinstance(error, NotIntercepted)
    assert error.message.endswith("; Linkerd's tap can't see it either: none of its pods has Linkerd's proxy")
    assert "--attach" in error.hint


async def test_unavailable_api_says_why(viz: Viz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interceptor.kube.retry.FIRST_PAUSE", 0.01)
    viz.server.answer(f"GET {API}", status(503, "ServiceUnavailable", "service unavailable"))
    assert str((await viz.refused()).message).endswith("does not answer: service unavailable")
    condition = {
        "type": "Available",
        "status": "False",
        "reason": "MissingEndpoints",
        "message": "no endpoints for tap",
    }
    viz.server.answer(
        "GET /apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.tap.linkerd.io",
        (200, {"status": {"conditions": [condition]}}),
    )
    error = await viz.refused()
    assert error.message.endswith("does not answer: MissingEndpoints: no endpoints for tap")
    assert "kubectl get apiservice v1alpha1.tap.linkerd.io" in error.hint


async def test_missing_right_is_named(viz: Viz) -> None:
    said = (
        'deployments.tap.linkerd.io "books" is forbidden: User "jane" cannot watch resource "deployments/tap"'
        ' in API group "tap.linkerd.io" in the namespace "shop"'
    )
    viz.server.answer(f"POST {WATCH}", status(403, "Forbidden", said))
    error = await viz.refused()
    assert isinstance(error, Forbidden)
    assert error.message == "no right to watch deployments.tap.linkerd.io/tap in namespace shop"
    assert "kubectl auth can-i watch deployments.tap.linkerd.io --subresource=tap -n shop" in error.hint
    assert error.hint.endswith("linkerd-linkerd-viz-tap-admin")
    viz.server.answer(f"POST {WATCH}", (403, {"error": "tap authorization failed (not authorized)"}))
    assert "tap authorization failed" in (await viz.refused()).message
    assert viz.told.texts("ready") == []


async def test_server_refuses_in_its_own_words(viz: Viz) -> None:
    viz.server.answer(
        f"POST {WATCH}", answers(framed("refused"), hold=False, **{"linkerd-error": "Internal Server Error"})
    )
    error = await viz.refused()
    assert error.message.startswith("Linkerd's tap API refuses: no pods to tap for deployment/books; 1 pods found")


@pytest.mark.parametrize(
    ("annotations", "said", "command"),
    [
        ({}, "can't see books-1: without the annotation viz.linkerd.io/tap-enabled", "rollout restart"),
        ({"disable_tap": "true"}, "disabled for deploy/books by the annotation viz.linkerd.io/disable-tap", "patch"),
    ],
)
async def test_pods_that_are_not_seen(viz: Viz, annotations: dict[str, str], said: str, command: str) -> None:
    viz.pods(pod("books-1", **annotations))
    error = await viz.refused()
    assert said in error.message
    assert error.hint.startswith(f"kubectl {command} deploy/books -n shop")
    assert "--attach" in error.hint


async def test_namespace_without_tap(viz: Viz) -> None:
    viz.pods(pod("books-1"))
    annotations = {"viz.linkerd.io/disable-tap": "true"}
    viz.server.answer("GET /api/v1/namespaces/shop", (200, {"metadata": {"name": "shop", "annotations": annotations}}))
    assert "disabled in namespace shop" in (await viz.refused()).message


async def test_pods_left_out_are_told(viz: Viz) -> None:
    viz.pods(pod("books-1", tap_enabled="true"), pod("books-2"), pod("books-3", tap_enabled="true"))
    viz.server.answer(f"POST {WATCH}", answers(framed(*HTTP)))
    await viz.records(1, bodies=1)
    notes = viz.told.texts("note")
    assert notes[0] == "not seen: books-2 (began before viz, restart to see it)"
    assert "no bodies" in notes[1]
    assert "(50 a pod)" in viz.told.texts("ready")[0]


async def test_silent_workload_is_told_as_ready(viz: Viz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viztap_read, "STANDS", 0.05)
    viz.server.answer(f"POST {WATCH}", answers())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        following = group.create_task(viz.records(1), name="follow")
        await viz.told.ready.wait()
        following.cancel()


async def test_broken_answer_is_asked_again(viz: Viz) -> None:
    """What was under way is shown as not seen to its end."""
    refused = status(503, "ServiceUnavailable", "service unavailable")
    viz.server.answer(f"POST {WATCH}", answers(framed("http1 request"), hold=False), refused, answers(framed(*HTTP)))
    first, second = await viz.records(2)
    assert (first["unreadable"], second["status"]) == ("Linkerd's tap broke off", 503)
    assert viz.told.texts("lost") == ["Linkerd's tap API ended its answer; asking again"]
    assert viz.told.texts("ready")[1:] == ["Linkerd viz's tap is back"]


async def test_gives_up_in_the_end(viz: Viz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viztap_read, "GIVE_UP", 0.3)
    gone = status(503, "ServiceUnavailable", "service unavailable")
    viz.server.answer(f"POST {WATCH}", answers(framed(*HTTP), hold=False), gone)
    with pytest.raises(InterceptorError, match="service unavailable"):
        await viz.records(2)


async def test_silence_is_asked_again_without_a_word(viz: Viz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viztap_read, "SILENCE", 0.1)
    monkeypatch.setattr(viztap_read, "STANDS", 0.02)
    viz.server.answer(f"POST {WATCH}", answers(), answers(framed(*HTTP)))
    assert [record["status"] for record in await viz.records(1)] == [503]
    assert viz.told.texts("lost") == []


async def test_answer_of_something_else(viz: Viz) -> None:
    viz.server.answer(f"POST {WATCH}", answers(b"<html>this is no tap</html>", hold=False))
    assert "answers what is no event" in (await viz.refused()).message


async def test_limit_is_told_once(viz: Viz) -> None:
    viz.server.answer(f"POST {WATCH}", answers(framed(*HTTP, *HTTP, *HTTP)))
    await viz.records(3, rps=2)
    (note,) = viz.told.texts("note")
    assert re.match(r"pod books-59c7-4q shows no more than 2 requests a second", note)


@pytest.mark.parametrize(
    ("pattern", "begins"),
    [("/a", "/a"), ("/a/*", "/a/"), ("/a/?/*", "/a/"), ("/a[b", "/a[b"), ("/a?b=1", "/a"), ("*", ""), ("", "")],
)
def test_beginning_of_a_pattern(pattern: str, begins: str) -> None:
    assert beginning(pattern) == begins


def test_pods_that_ended_are_none() -> None:
    ended = pod("a", tap_enabled="true")
    ended["status"]["phase"] = "Succeeded"
    found = sorted_out([ended, pod("b", tap_enabled="TRUE"), pod("c", tap_enabled="yes")])
    assert (found.seen, found.not_enabled, found.disabled, found.unmeshed) == (["b"], ["c"], [], [])
