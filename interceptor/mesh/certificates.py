"""Certificates as Linkerd's identity uses them: reading PEM, dates, algorithms, chains; the checks of `linkerd` ask here.

The words of the answers are Linkerd's (and, for chains, those of Go's x509), because its users search for them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

SOON = datetime.timedelta(days=60)
MOST_CERTIFICATES = 8  # a chain is never longer, a loop is

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n.*?\n-----END \1-----", re.DOTALL)
_ALGORITHMS = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: "ECDSA-SHA256",
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: "ECDSA-SHA384",
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: "ECDSA-SHA512",
    SignatureAlgorithmOID.RSA_WITH_SHA1: "SHA1-RSA",
    SignatureAlgorithmOID.RSA_WITH_SHA256: "SHA256-RSA",
    SignatureAlgorithmOID.RSA_WITH_SHA384: "SHA384-RSA",
    SignatureAlgorithmOID.RSA_WITH_SHA512: "SHA512-RSA",
    SignatureAlgorithmOID.ED25519: "Ed25519",
}
_STRONG = {"ECDSA-SHA256", "SHA256-RSA"}


class BadCertificate(Exception):
    """What stands there is no certificate, or not one for that key; the text says which."""


@dataclass(frozen=True)
class Credentials:
    """A certificate with the rest of its chain, its key known to fit."""

    certificate: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]


def read_certificates(pem: str) -> list[x509.Certificate]:
    """All certificates of a bundle, and nothing else in it: Linkerd's own reader is as strict."""
    rest, found = pem.lstrip(), []
    while rest:
        block = _BLOCK.match(rest)
        if block is None or block[1] != "CERTIFICATE":
            raise BadCertificate("not a PEM certificate" if block is None else f"wrong PEM type: {block[1]}")
        try:
            found.append(x509.load_pem_x509_certificate(block[0].encode()))
        except ValueError as error:
            raise BadCertificate(f"x509: {' '.join(str(error).split())}") from error
        rest = rest[block.end() :].removeprefix("\r").removeprefix("\n")
    if not found:
        raise BadCertificate("not a PEM certificate")
    return found


def read_credentials(certificate: str, key: str) -> Credentials:
    """A certificate and the key that must belong to it."""
    first, *rest = read_certificates(certificate)
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadCertificate("failed to decode PEM private key") from error
    if private.public_key() != first.public_key():
        raise BadCertificate("tls: Public and private key do not match")
    return Credentials(first, tuple(rest))


def untimely(certificate: x509.Certificate, now: datetime.datetime) -> str:
    """Why a certificate is not valid at this time, empty where it is."""
    if now < certificate.not_valid_before_utc:
        return f"not valid before: {_stamp(certificate.not_valid_before_utc)}"
    if now > certificate.not_valid_after_utc:
        return f"not valid anymore. Expired on {_stamp(certificate.not_valid_after_utc)}"
    return ""


def expiring(certificate: x509.Certificate, now: datetime.datetime) -> str:
    """That it ends within sixty days, empty where it doesn't."""
    if now + SOON > certificate.not_valid_after_utc:
        return f"will expire on {_stamp(certificate.not_valid_after_utc)}"
    return ""


def weak_issuer(certificate: x509.Certificate) -> str:
    """Why the proxies would not take it as their issuer's: it has to be ECDSA on P-256."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return f"must use ECDSA for public key algorithm, instead {_key_name(key)} was used"
    if not isinstance(key.curve, ec.SECP256R1):
        return f"must use P-256 curve for public key, instead P-{key.curve.key_size} was used"
    return _weak_signature(certificate)


def weak_anchor(certificate: x509.Certificate) -> str:
    """The same for a trust anchor, which may also be RSA."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in (2048, 4096):
            return f"RSA must use at least 2084 bit public key, instead {key.key_size} bit public key was used"
        name = _algorithm(certificate)
        return "" if name == "SHA256-RSA" else f"must be signed by an RSA key with SHA256, instead {name} was used"
    return weak_issuer(certificate)


def chain_problem(
    leaf: Credentials, anchors: Sequence[x509.Certificate], now: datetime.datetime, name: str = ""
) -> str:
    """Why there is no valid way from the certificate to an anchor, for that DNS name; empty where there is one."""
    if name and name not in (names := dns_names(leaf.certificate)):
        if not names:
            return f"x509: certificate is not valid for any names, but wanted to match {name}"
        return f"x509: certificate is valid for {', '.join(names)}, not {name}"
    if untimely(leaf.certificate, now):
        return "x509: certificate has expired or is not yet valid"
    return (
        ""
        if _leads_to(leaf.certificate, leaf.intermediates, anchors, now)
        else ("x509: certificate signed by unknown authority")
    )


def dns_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names it is for."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return []
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name, empty where it has none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def described(certificate: x509.Certificate, reason: str) -> str:
    """One line about a certificate in a list."""
    return f"* {certificate.serial_number} {common_name(certificate)} {reason}"


def _leads_to(
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime.datetime,
    depth: int = 0,
) -> bool:
    if certificate in anchors:
        return True
    if depth == MOST_CERTIFICATES:
        return False
    if any(_signed(certificate, anchor) and not untimely(anchor, now) for anchor in anchors):
        return True
    return any(
        _signed(certificate, parent)
        and not untimely(parent, now)
        and _leads_to(parent, intermediates, anchors, now, depth + 1)
        for parent in intermediates
        if parent != certificate
    )


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return basic.value.ca


def _weak_signature(certificate: x509.Certificate) -> str:
    name = _algorithm(certificate)
    return "" if name in _STRONG else f"must be signed by an ECDSA P-256 key, instead {name} was used"


def _algorithm(certificate: x509.Certificate) -> str:
    oid = certificate.signature_algorithm_oid
    return _ALGORITHMS.get(oid, oid.dotted_string)


def _key_name(key: object) -> str:
    return "RSA" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__.removesuffix("PublicKey").lstrip("_")


def _stamp(when: datetime.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
