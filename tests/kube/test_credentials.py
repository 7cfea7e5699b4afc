from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from interceptor.kube import KubeconfigError, Unauthorized
from interceptor.kube.config import ClusterEntry, UserEntry
from interceptor.kube.credentials import Credential, Plugin, Source, explained, source_for
from interceptor.kube.errors import Call
from tests.certificates import Authority
from tests.kube.plugins import certificate_answer, exec_user, plugin, runs

CLUSTER = ClusterEntry("test", "https://127.0.0.1:6443")


def source(user: dict[str, Any], folder: Path = Path()) -> Source:
    return source_for(UserEntry("jane", user, folder), CLUSTER)


async def test_token_is_a_bearer() -> None:
    assert await source({"token": "t\n"}).current() == Credential("Bearer t")


async def test_password_is_basic() -> None:
    assert await source({"username": "jane", "password": "p"}).current() == Credential("Basic amFuZTpw")


async def test_nothing_is_anonymous() -> None:
    assert await source({}).current() == Credential()


async def test_certificate_comes_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "crt").write_text("C")
    settings = {"client-certificate": str(tmp_path / "crt"), "client-key-data": base64.b64encode(b"K").decode()}
    assert await source(settings).current() == Credential("", "C", "K")
    with pytest.raises(KubeconfigError, match="has no client-key"):
        source({"client-certificate": str(tmp_path / "crt")})


async def test_token_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    tokens = source({"tokenFile": str(path), "token": "ignored"})
    assert (await tokens.current()).authorization == "Bearer one"
    replacement = tmp_path / "new"
    replacement.write_text("two\n")
    replacement.rename(path)
    assert (await tokens.current()).authorization == "Bearer two"
    path.unlink()
    with pytest.raises(KubeconfigError, match=r"can't read tokenFile .*No such file"):
        await tokens.current()


async def test_plugin_answer_is_kept(tmp_path: Path) -> None:
    plugged = source(exec_user(plugin(tmp_path, "answer(token=str(runs))")))
    first, *others = await asyncio.gather(*[plugged.current() for _ in range(5)])
    assert first.authorization == "Bearer 1"
    assert others == [first] * 4
    assert runs(tmp_path) == 1


async def test_refused_plugin_answer_is_renewed_once(tmp_path: Path) -> None:
    plugged = source(exec_user(plugin(tmp_path, "answer(token=str(runs))")))
    first = await plugged.current()
    renewed = await asyncio.gather(*[plugged.renew(first) for _ in range(5)])
    assert {credential.authorization for credential in renewed} == {"Bearer 2"}
    assert runs(tmp_path) == 2


def plugged_in(folder: Path, body: str) -> Plugin:
    """One whose answers may be replaced as soon as they have ended."""
    found = source(exec_user(plugin(folder, body)))
    assert isinstance(found, Plugin)
    found.least_use = 0.0
    return found


async def test_expired_plugin_answer_is_renewed(tmp_path: Path) -> None:
    plugged = plugged_in(tmp_path, "answer(token=str(runs), expirationTimestamp='2000-01-01T00:00:00Z')")
    assert [(await plugged.current()).authorization for _ in range(2)] == ["Bearer 1", "Bearer 2"]


async def test_wrong_clock_runs_plugin_once(tmp_path: Path) -> None:
    """What has ended before it came is used all the same, until the server refuses it."""
    plugged = plugged_in(tmp_path, "answer(token=str(runs), expirationTimestamp='2000-01-01T00:00:00Z')")
    plugged.least_use = 10.0
    assert [(await plugged.current()).authorization for _ in range(2)] == ["Bearer 1", "Bearer 1"]
    assert (await plugged.renew(Credential("Bearer 1"))).authorization == "Bearer 2"


async def test_next_answer_is_fetched_ahead(tmp_path: Path) -> None:
    """Nobody waits for it while the one before still holds."""
    soon = "time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 8))"
    ends = f"{{'expirationTimestamp': {soon}}} if runs == 1 else {{}}"
    plugged = plugged_in(tmp_path, f"time.sleep(0.3); answer(token=str(runs), **({ends}))")
    assert (await plugged.current()).authorization == "Bearer 1"
    async with asyncio.timeout(30):
        assert (await plugged.current()).authorization == "Bearer 1"
        while (await plugged.current()).authorization == "Bearer 1":  # noqa: ASYNC110  a process ends
            await asyncio.sleep(0.05)
    assert runs(tmp_path) == 2


async def test_impatient_request_cuts_no_run_short(tmp_path: Path) -> None:
    awaited = tmp_path / "awaited"
    wait = f"while not os.path.exists({str(awaited)!r}): time.sleep(0.01)\n"
    plugged = plugged_in(tmp_path, f"{wait}answer(token=str(runs))")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(plugged.current(), 0.1)
    awaited.touch()
    assert (await plugged.current()).authorization == "Bearer 1"
    assert runs(tmp_path) == 1


async def test_plugin_certificates_are_used(tmp_path: Path, authority: Authority) -> None:
    leaf = authority.leaf("jane")
    plugged = source(exec_user(plugin(tmp_path, certificate_answer(leaf.certificate, leaf.key))))
    assert await plugged.current() == Credential("", leaf.certificate.decode(), leaf.key.decode())


def test_auth_provider_is_refused() -> None:
    with pytest.raises(KubeconfigError, match="auth-provider 'gcp', which Kubernetes removed"):
        source({"auth-provider": {"name": "gcp"}})


def why(credential: Credential) -> str:
    refused = Unauthorized("refused", status=401, call=Call("get"))
    return explained(refused, credential).message.removeprefix("refused")


def test_expired_certificate_is_told(authority: Authority) -> None:
    old, new = authority.leaf("jane", expired=True), authority.leaf("jane")
    assert why(Credential("", old.certificate.decode())).startswith(": the client certificate expired on 20")
    assert why(Credential("", new.certificate.decode())) == ""
    assert why(Credential("", "no PEM")) == ""


def test_expired_token_is_told() -> None:
    def token(claims: object) -> Credential:
        return Credential(f"Bearer e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x")

    assert why(token({"exp": 1000000000})) == ": the token expired on 2001-09-09 01:46 UTC"
    assert why(token({"exp": 9000000000})) == ""
    assert why(token([])) == ""
    assert why(Credential("Bearer opaque")) == ""
