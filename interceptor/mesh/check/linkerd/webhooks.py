"""`linkerd-webhooks-and-apisvc-tls`: the certificates of the webhooks, against what the API server trusts.

A webhook whose certificate is not trusted is ignored without a word: pods start without a proxy. `control_plane` lists it.
"""

from __future__ import annotations

from typing import Any

from cryptography import x509

from interceptor.kube import NotFound, Resource, resources
from interceptor.mesh import certificates
from interceptor.mesh.certificates import BadCertificate, Credentials
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.identity import decoded, now
from interceptor.mesh.check.linkerd.scope import (
    INJECTOR_WEBHOOK,
    MUTATING,
    POLICY_VALIDATOR_WEBHOOK,
    SP_VALIDATOR_WEBHOOK,
    VALIDATING,
    Scope,
)
from interceptor.mesh.check.model import PASSED, SKIPPED, Broken, Category, Check, Failed, Verdict, lines

Object = dict[str, Any]

_WEBHOOKS = (
    ("proxy-injector", MUTATING, INJECTOR_WEBHOOK),
    ("sp-validator", VALIDATING, SP_VALIDATOR_WEBHOOK),
    ("policy-validator", VALIDATING, POLICY_VALIDATOR_WEBHOOK),
)


def category(scope: Scope) -> Category:
    """The category as Linkerd has it."""
    checks = [check for name, kind, config in _WEBHOOKS for check in _checks(scope, name, kind, config)]
    return Category("linkerd-webhooks-and-apisvc-tls", tuple(checks))


def _checks(scope: Scope, name: str, kind: Resource, config: str) -> tuple[Check, Check]:
    optional = name == "policy-validator"  # older installations have none

    async def valid(facts: Facts) -> Verdict:
        try:
            anchors = bundle(await facts.get(kind, None, config))
            credentials = await _credentials(facts, scope, name)
        except NotFound:
            if optional:
                return SKIPPED
            raise
        return judge(credentials, anchors, f"linkerd-{name}.{scope.namespace}.svc")

    async def soon(facts: Facts) -> Verdict:
        try:
            credentials = await _credentials(facts, scope, name)
        except NotFound:
            if optional:
                return SKIPPED
            raise
        text = certificates.expiring(credentials.certificate, now())
        return Failed(f"certificate {text}") if text else PASSED

    return (
        Check(f"{name} webhook has valid cert", valid, f"l5d-{name}-webhook-cert-valid", fatal=True),
        Check(
            f"{name} cert is valid for at least 60 days",
            soon,
            f"l5d-{name}-webhook-cert-not-expiring-soon",
            warning=True,
        ),
    )


def judge(credentials: Credentials, anchors: list[x509.Certificate], name: str) -> Verdict:
    """A serving certificate against the bundle that its caller trusts."""
    bad = [certificates.described(anchor, text) for anchor in anchors if (text := certificates.untimely(anchor, now()))]
    if bad:
        return Failed(lines("anchors not within their validity period:", bad))
    if text := certificates.untimely(credentials.certificate, now()):
        return Failed(f"certificate is {text}")
    if text := certificates.chain_problem(credentials, anchors, now(), name):
        return Failed(f"cert is not issued by the trust anchor: {text}")
    return PASSED


def bundle(configuration: Object) -> list[x509.Certificate]:
    """What the API server trusts when it calls this webhook."""
    webhooks = configuration.get("webhooks") or []
    if len(webhooks) != 1:
        raise Broken(f"expected 1 webhooks, found {len(webhooks)}")
    try:
        return certificates.read_certificates(decoded(webhooks[0]["clientConfig"].get("caBundle") or ""))
    except BadCertificate as error:
        raise Broken(str(error)) from error


async def _credentials(facts: Facts, scope: Scope, name: str) -> Credentials:
    """The webhook's own certificate, under its present name or its old one."""
    try:
        secret = await facts.get(resources.SECRETS, scope.namespace, f"linkerd-{name}-k8s-tls")
        keys = ("tls.crt", "tls.key")
    except NotFound as absent:
        old = await facts.find(resources.SECRETS, scope.namespace, f"linkerd-{name}-tls")
        if old is None:
            raise absent from None
        secret, keys = old, ("crt.pem", "key.pem")
    data = secret.get("data") or {}
    for key in keys:
        if key not in data:
            raise Broken(f"key {key} needs to exist in secret {secret['metadata']['name']}")
    try:
        return certificates.read_credentials(decoded(data[keys[0]]), decoded(data[keys[1]]))
    except BadCertificate as error:
        raise Broken(str(error)) from error
