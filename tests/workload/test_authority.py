"""Both ends of a session know each other and nobody else; checked by real handshakes, as strict as OpenSSL can be."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from interceptor.workload.authority import Authority


def agent_context(authority: Authority, folder: Path) -> ssl.SSLContext:
    for name, content in authority.agent_files().items():
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def shake(client: ssl.SSLContext, agent: ssl.SSLContext, name: str) -> str | None:
    """Both ends in memory until both are done; the protocol's version."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), agent.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ends[1].write(b"hello")
    assert ends[0].read() == b"hello"
    return ends[0].version()


def test_session_ends_meet(tmp_path: Path) -> None:
    authority = Authority.create("orders-x7f2q")
    assert shake(authority.client_context(), agent_context(authority, tmp_path), "orders-x7f2q") == "TLSv1.3"


def test_other_sessions_client_is_refused(tmp_path: Path) -> None:
    agent = agent_context(Authority.create("orders-x7f2q"), tmp_path)
    stranger = Authority.create("orders-x7f2q").client_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError):
        shake(stranger, agent, "orders-x7f2q")


def test_other_name_is_refused(tmp_path: Path) -> None:
    authority = Authority.create("orders-x7f2q")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(authority.client_context(), agent_context(authority, tmp_path), "orders-zzzzz")


def test_agents_leaf_is_no_client(tmp_path: Path) -> None:
    """Who reads the Secret can't pass for the client."""
    authority = Authority.create("orders-x7f2q")
    agent = agent_context(authority, tmp_path)
    thief = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    thief.load_verify_locations(tmp_path / "ca.crt")
    thief.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake(thief, agent, "orders-x7f2q")


def test_secret_has_no_private_key_of_others() -> None:
    authority = Authority.create("orders-x7f2q")
    files = authority.agent_files()
    assert files.keys() == {"tls.crt", "tls.key", "ca.crt"}
    assert authority.client_key not in files.values()
    assert b"PRIVATE KEY" not in files["ca.crt"] + files["tls.crt"]
    assert "PRIVATE" not in repr(authority)


def test_long_names_fit(tmp_path: Path) -> None:
    name = "a" * 57 + "-x7f2q"
    authority = Authority.create(name)
    assert shake(authority.client_context(), agent_context(authority, tmp_path), name) == "TLSv1.3"
