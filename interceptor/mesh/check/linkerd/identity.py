"""`linkerd-identity`: the trust anchors and the issuer that signs every proxy's certificate; `control_plane` lists it."""

from __future__ import annotations

import base64
import binascii
import datetime
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from interceptor.kube import resources
from interceptor.mesh import certificates
from interceptor.mesh.certificates import BadCertificate, Credentials
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import Scope, value, values
from interceptor.mesh.check.model import PASSED, Broken, Category, Check, Failed, Verdict, lines

Object = dict[str, Any]

ISSUER_SECRET = "linkerd-identity-issuer"  # noqa: S105  (its name)
EXTERNAL_SCHEME = "kubernetes.io/tls"  # cert-manager's: other keys, and the anchors stand in the Secret


@dataclass(frozen=True)
class Identity:
    """What the identity service works with."""

    issuer: Credentials
    anchors: list[x509.Certificate]


def category(scope: Scope) -> Category:
    """The category as Linkerd has it."""

    async def config(facts: Facts) -> Verdict:
        await identity(facts, scope)
        return PASSED

    async def anchor_crypto(facts: Facts) -> Verdict:
        weak = _each((await identity(facts, scope)).anchors, certificates.weak_anchor)
        return Failed(lines("Invalid trustAnchors:", weak)) if weak else PASSED

    async def anchor_dates(facts: Facts) -> Verdict:
        bad = _each((await identity(facts, scope)).anchors, lambda item: certificates.untimely(item, now()))
        return Failed(lines("Invalid anchors:", bad)) if bad else PASSED

    async def anchor_soon(facts: Facts) -> Verdict:
        soon = _each((await identity(facts, scope)).anchors, lambda item: certificates.expiring(item, now()))
        return Failed(lines("Anchors expiring soon:", soon)) if soon else PASSED

    async def issuer_crypto(facts: Facts) -> Verdict:
        weak = certificates.weak_issuer((await identity(facts, scope)).issuer.certificate)
        return Failed(f"issuer certificate {weak}") if weak else PASSED

    async def issuer_dates(facts: Facts) -> Verdict:
        bad = certificates.untimely((await identity(facts, scope)).issuer.certificate, now())
        return Failed(f"issuer certificate is {bad}") if bad else PASSED

    async def issuer_soon(facts: Facts) -> Verdict:
        soon = certificates.expiring((await identity(facts, scope)).issuer.certificate, now())
        return Failed(f"issuer certificate {soon}") if soon else PASSED

    async def issuer_chain(facts: Facts) -> Verdict:
        found = await identity(facts, scope)
        problem = certificates.chain_problem(found.issuer, found.anchors, now())
        return Failed(problem) if problem else PASSED

    prefix = "l5d-identity-issuer-cert"
    return Category(
        "linkerd-identity",
        (
            Check("certificate config is valid", config, "l5d-identity-cert-config-valid", fatal=True),
            Check(
                "trust anchors are using supported crypto algorithm",
                anchor_crypto,
                "l5d-identity-trustAnchors-use-supported-crypto",
                fatal=True,
            ),
            Check(
                "trust anchors are within their validity period",
                anchor_dates,
                "l5d-identity-trustAnchors-are-time-valid",
                fatal=True,
            ),
            Check(
                "trust anchors are valid for at least 60 days",
                anchor_soon,
                "l5d-identity-trustAnchors-not-expiring-soon",
                warning=True,
            ),
            Check(
                "issuer cert is using supported crypto algorithm",
                issuer_crypto,
                f"{prefix}-uses-supported-crypto",
                fatal=True,
            ),
            Check("issuer cert is within its validity period", issuer_dates, f"{prefix}-is-time-valid", fatal=True),
            Check(
                "issuer cert is valid for at least 60 days", issuer_soon, f"{prefix}-not-expiring-soon", warning=True
            ),
            Check("issuer cert is issued by the trust anchor", issuer_chain, f"{prefix}-issued-by-trust-anchor"),
        ),
    )


async def identity(facts: Facts, scope: Scope) -> Identity:
    """Issuer and anchors, read as the identity service reads them. Raises Broken, NotFound."""
    config = await values(facts, scope)
    secret = await facts.get(resources.SECRETS, scope.namespace, ISSUER_SECRET)
    external = value(config, "identity", "issuer", "scheme") == EXTERNAL_SCHEME
    if external:
        anchors = secret_text(secret, "ca.crt", "containing the trust anchors needs to exist in secret", external=True)
        certificate = secret_text(secret, "tls.crt", _CERTIFICATE, external=True)
        key = secret_text(secret, "tls.key", _KEY, external=True)
    else:
        anchors = str(value(config, "identityTrustAnchorsPEM") or "")
        certificate = secret_text(secret, "crt.pem", _CERTIFICATE, external=False)
        key = secret_text(secret, "key.pem", _KEY, external=False)
    try:
        return Identity(certificates.read_credentials(certificate, key), certificates.read_certificates(anchors))
    except BadCertificate as error:
        raise Broken(str(error)) from error


_CERTIFICATE = "containing the issuer certificate needs to exist in secret"
_KEY = "containing the issuer key needs to exist in secret"


def secret_text(secret: Object, name: str, needed: str, *, external: bool) -> str:
    """One value of the issuer's Secret as text."""
    encoded = (secret.get("data") or {}).get(name)
    if encoded is None:
        flag = f"if --identity-external-issuer={'true' if external else 'false'}"
        raise Broken(f"key {name} {needed} {secret['metadata']['name']} {flag}")
    return decoded(encoded)


def decoded(text: str) -> str:
    """A value of a Secret, or of a webhook's caBundle; what is no text comes out as no certificate."""
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error:
        return text


def now() -> datetime.datetime:
    """The time that certificates are judged by: this machine's."""
    return datetime.datetime.now(datetime.UTC)


def _each(anchors: list[x509.Certificate], judge: Any) -> list[str]:
    return [certificates.described(anchor, reason) for anchor in anchors if (reason := judge(anchor))]
