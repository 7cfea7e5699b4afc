"""Certificates of a mesh, good ones and every kind of bad one; `installation` and the states ask for them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, able to sign others."""

    certificate: x509.Certificate
    private: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key(self) -> str:
        """As Go and OpenSSL write a key of a curve."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()


def issue(
    name: str,
    by: Pair | None = None,
    *,
    begin: float = -1,
    end: float = 365,
    ca: bool = False,
    curve: ec.EllipticCurve | None = None,
    rsa_bits: int = 0,
) -> Pair:
    """Make a certificate for `name`, valid between two days from now, by itself or `by` somebody."""
    key: Key = (
        rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(curve or ec.SECP256R1())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])  # X.520's limit
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begin))
        .not_valid_after(now + datetime.timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        uri = name.startswith("spiffe://")  # as Istio's identities are
        named = x509.UniformResourceIdentifier(name) if uri else x509.DNSName(name)
        builder = builder.add_extension(x509.SubjectAlternativeName([named]), critical=False)
    return Pair(builder.sign(by.private if by else key, hashes.SHA256()), key)


def authority(name: str = "root.linkerd.cluster.local", **wishes: object) -> Pair:
    """A trust anchor."""
    return issue(name, ca=True, **wishes)  # type: ignore[arg-type]


def issuer(by: Pair, **wishes: object) -> Pair:
    """What the identity service signs with."""
    return issue("identity.linkerd.cluster.local", by, ca=True, **wishes)  # type: ignore[arg-type]
