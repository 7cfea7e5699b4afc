from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from interceptor.kube import KubeconfigError, access
from interceptor.kube.access import load_access
from interceptor.kube.credentials import Credential
from tests.certificates import Authority
from tests.kube.conftest import Accesses


def test_impersonation_is_in_the_headers(access: Accesses) -> None:
    loaded = access(as_user="ops", as_groups=("a", "b"))
    assert loaded.user == "ops"
    headers = loaded.headers(Credential("Bearer t"))
    assert headers[1:] == [
        ("Impersonate-User", "ops"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Authorization", "Bearer t"),
    ]
    assert headers[0][1].startswith("interceptor/")


def test_kubeconfig_can_impersonate(access: Accesses) -> None:
    user = {"as": "ops", "as-groups": ["a"], "as-uid": "7", "as-user-extra": {"scopes": ["x", "y"]}}
    loaded = access(user=user)
    assert loaded.user == "ops"
    assert loaded.impersonation == (
        ("Impersonate-User", "ops"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-scopes", "x"),
        ("Impersonate-Extra-scopes", "y"),
    )
    assert access(user=user, as_user="jane").impersonation == (("Impersonate-User", "jane"),)


def test_headers_are_one_line(access: Accesses) -> None:
    with pytest.raises(KubeconfigError, match="Impersonate-User holds characters"):
        access(as_user="ops\r\nImpersonate-Group: system:masters").headers(Credential())


def test_group_needs_a_user(access: Accesses) -> None:
    with pytest.raises(KubeconfigError, match="add --as USER"):
        access(as_groups=("a",))


def test_namespace_can_be_chosen(access: Accesses) -> None:
    assert (access().namespace, access(namespace="other").namespace) == ("shop", "other")


def test_strict_checks_are_off(access: Accesses) -> None:
    context = access().tls(Credential())
    assert context is not None
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_context_is_made_once_per_certificate(access: Accesses, authority: Authority) -> None:
    loaded, leaf = access(), authority.leaf("jane")
    plain, mine = Credential("Bearer t"), Credential("", leaf.certificate.decode(), leaf.key.decode())
    assert loaded.tls(plain) is loaded.tls(Credential("Bearer u"))
    assert loaded.tls(mine) is not loaded.tls(plain)


@pytest.mark.parametrize("memory", [True, False])
def test_key_leaves_no_file(
    access: Accesses, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    if not memory:
        monkeypatch.delattr("os.memfd_create")
    leaf = authority.leaf("jane")
    access().tls(Credential("", leaf.certificate.decode(), leaf.key.decode()))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_bad_certificates_are_named(access: Accesses, authority: Authority) -> None:
    leaf, other = authority.leaf("jane"), authority.leaf("joe")
    with pytest.raises(KubeconfigError, match="can't be used: key values mismatch"):
        access().tls(Credential("", leaf.certificate.decode(), other.key.decode()))
    with pytest.raises(KubeconfigError, match="holds no certificate"):
        access(cluster={"certificate-authority-data": "eA=="}).tls(Credential())


def test_odd_proxies_are_refused(access: Accesses) -> None:
    with pytest.raises(KubeconfigError, match=r"proxy 127\.0\.0\.1:1080 is of a kind that is not supported"):
        access(cluster={"proxy-url": "socks5://me:secret@127.0.0.1:1080"})


def test_proxy_password_is_for_the_proxy(access: Accesses) -> None:
    loaded = access(cluster={"proxy-url": "http://me:p%40ss@127.0.0.1:3128"})
    assert loaded.shown_proxy == "127.0.0.1:3128"
    assert ("Proxy-Authorization", "Basic bWU6cEBzcw==") in loaded.proxy_headers()
    assert len(access(cluster={"proxy-url": "http://127.0.0.1:3128"}).proxy_headers()) == 1


@pytest.mark.parametrize(
    ("server", "bypass", "expected"),
    [
        ("https://api.example.com", "", "http://proxy:3128"),
        ("https://api.example.com:6443", "example.com", ""),
        ("https://api.example.com", ".example.com", ""),
        ("https://api.example.com", "ample.com", "http://proxy:3128"),
        ("https://api.example.com", "x, *", ""),
        ("https://10.1.2.3", "10.0.0.0/8", ""),
        ("https://10.1.2.3", "10.1.2.4", "http://proxy:3128"),
        ("https://127.0.0.1:6443", "", ""),
        ("https://localhost:6443", "", ""),
        ("http://api.example.com", "", ""),
    ],
)
def test_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch, server: str, bypass: str, expected: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", bypass)
    assert access._environment_proxy(server) == expected


def test_pem_authority_is_read_by_path(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "config").write_text(
        "{current-context: t, contexts: [{name: t, context: {cluster: t}}],"
        " clusters: [{name: t, cluster: {server: 'https://127.0.0.1', certificate-authority: ca.crt}}]}"
    )
    loaded = load_access(str(tmp_path / "config"))
    assert loaded.user == "anonymous"
    context = loaded.tls(Credential())
    assert context is not None
    assert len(context.get_ca_certs()) == 1
