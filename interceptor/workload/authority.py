"""The certificates of one session; `session` makes an Authority, `objects` puts its files into the Secret.

A P-256 authority signs one leaf for the agents and one for the client. The authority's key is forgotten as soon as both
are signed; the client's leaf key exists in this process alone and reaches OpenSSL through a pipe, never through a file.
Valid from 25 hours ago, because a laptop's clock may be an hour off and its time zone set wrong; for 7 days.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_BACKDATED = timedelta(hours=25)
_VALID = timedelta(days=7)


@dataclass(frozen=True, repr=False)
class Authority:
    """What one session's two ends show each other, as PEM. The agent's server name is the session's."""

    session: str
    authority_certificate: bytes
    agent_certificate: bytes
    agent_key: bytes
    client_certificate: bytes
    client_key: bytes

    @classmethod
    def create(cls, session: str) -> Authority:
        """Make fresh keys for this session."""
        issuer = _Issuer(session)
        agent_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        return cls(
            session,
            _pem(issuer.certificate),
            _pem(issuer.sign("agent", agent_key, ExtendedKeyUsageOID.SERVER_AUTH)),
            _key_pem(agent_key),
            _pem(issuer.sign("client", client_key, ExtendedKeyUsageOID.CLIENT_AUTH)),
            _key_pem(client_key),
        )

    def agent_files(self) -> dict[str, bytes]:
        """The agent's part of the Secret."""
        return {
            "tls.crt": self.agent_certificate,
            "tls.key": self.agent_key,
            "ca.crt": self.authority_certificate,
        }

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 that believes nobody but this session's agent; give `server_hostname=session`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=self.authority_certificate.decode())
        with _Pipe(self.client_certificate) as certificate, _Pipe(self.client_key) as key:
            context.load_cert_chain(certificate, key)
        return context


class _Pipe:
    """A path under which OpenSSL can read some bytes once. A PEM is smaller than any pipe's buffer."""

    def __init__(self, content: bytes) -> None:
        self._reader, writer = os.pipe()
        try:
            os.write(writer, content)
        finally:
            os.close(writer)

    def __enter__(self) -> str:
        return f"/dev/fd/{self._reader}"

    def __exit__(self, *_: object) -> None:
        os.close(self._reader)


class _Issuer:
    """Signs the leaves of one session; its key goes when it goes."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._now = datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"interceptor {session}")
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(self._key, SHA256())
        )

    def sign(self, role: str, key: ec.EllipticCurvePrivateKey, purpose: ObjectIdentifier) -> x509.Certificate:
        """A leaf for one end; the purpose keeps the agent from passing as a client."""
        return (
            self._builder(_name(f"interceptor {role}"), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(self._session)]), critical=False)
            .sign(self._key, SHA256())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATED)
            .not_valid_after(self._now + _VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])  # X.520's limit


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
