"""What can be wrong with the certificates of a control plane, one thing at a time."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from e2e.mesh import certs
from e2e.mesh.breaking import State, expect, parameters
from e2e.mesh.certs import Pair
from e2e.mesh.installation import encoded
from e2e.mesh.states import Mesh, wrong
from interceptor.kube.resources import SECRETS
from interceptor.mesh.check.linkerd.scope import MUTATING, VALIDATING

ISSUER = "linkerd-identity-issuer"
IDENTITY = "l5d-identity-"
WEBHOOKS = {"proxy-injector": MUTATING, "sp-validator": VALIDATING, "policy-validator": VALIDATING}


async def issue(mesh: Mesh, anchor: Pair, issuer: Pair, *, others: str = "") -> None:
    """Another anchor and issuer; the proxies' bundle stays."""
    await mesh.values(identityTrustAnchorsPEM=anchor.pem + others)
    await mesh.secret(ISSUER, {"crt.pem": issuer.pem, "key.pem": issuer.key})


def anchored(others: bool = False, **wishes: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        anchor = certs.authority("odd", **wishes)
        if others:  # beside a good one, which the issuer's certificate comes from
            await issue(mesh, mesh.installed.anchor, mesh.installed.issuer, others=anchor.pem)
        else:
            await issue(mesh, anchor, certs.issuer(anchor))

    return change


def issued(**wishes: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        await issue(mesh, mesh.installed.anchor, certs.issuer(mesh.installed.anchor, **wishes))

    return change


async def no_secret(mesh: Mesh) -> None:
    await mesh.delete(SECRETS, mesh.control, ISSUER)


def secret(**texts: str | None) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.secret(ISSUER, {name.replace("_", "."): text for name, text in texts.items()})

    return change


async def foreign_key(mesh: Mesh) -> None:
    await mesh.secret(ISSUER, {"key.pem": certs.authority().key})


async def trailing_junk(mesh: Mesh) -> None:
    await mesh.secret(ISSUER, {"crt.pem": mesh.installed.issuer.pem + "\njunk"})


async def foreign(mesh: Mesh) -> None:
    issuer = certs.issuer(certs.authority("another"))
    await mesh.secret(ISSUER, {"crt.pem": issuer.pem, "key.pem": issuer.key})


async def external_without_anchors(mesh: Mesh) -> None:
    await mesh.values(identity={"issuer": {"scheme": "kubernetes.io/tls"}})


CONFIG = "certificate config is valid"
CRYPTO = "trust anchors are using supported crypto algorithm"
ANCHOR_DATES = "trust anchors are within their validity period"
ISSUER_CRYPTO = "issuer cert is using supported crypto algorithm"
ISSUER_DATES = "issuer cert is within its validity period"
CHAIN = "issuer cert is issued by the trust anchor"
SOON = "is valid for at least 60 days"

STATES = [
    State("no issuer", no_secret, {CONFIG: f'secrets "{ISSUER}" not found'}),
    State("no certificate", secret(crt_pem=None), {CONFIG: "key crt.pem containing the issuer certificate needs to exist"}),
    State("no key", secret(key_pem=None), {CONFIG: f"needs to exist in secret {ISSUER} if --identity-external-issuer=false"}),
    State("not pem", secret(crt_pem="x"), {CONFIG: "not a PEM certificate"}),
    State("junk behind", trailing_junk, {CONFIG: "not a PEM certificate"}),
    State("another key", foreign_key, {CONFIG: "do not match"}),
    State("key not pem", secret(key_pem="x"), {CONFIG: "failed to decode PEM private key"}),
    State("no external anchors", external_without_anchors, {CONFIG: "key ca.crt containing the trust anchors needs"}),
    State("weak anchor", anchored(curve=ec.SECP384R1()), {CRYPTO: "odd must use P-256 curve for public key, instead P-384"}),
    State("small rsa anchor", anchored(others=True, rsa_bits=1024), {CRYPTO: "instead 1024 bit public key was used"}),
    State("anchor expired", anchored(others=True, begin=-9, end=-1), {ANCHOR_DATES: "odd not valid anymore. Expired on "}),
    State("anchor from tomorrow", anchored(others=True, begin=1), {ANCHOR_DATES: "odd not valid before: "}),
    State("anchor expiring", anchored(end=50), {f"trust anchors {SOON.replace('is', 'are', 1)}": "odd will expire on "}, warning=True),
    State("weak issuer", issued(curve=ec.SECP521R1()), {ISSUER_CRYPTO: "issuer certificate must use P-256 curve for public key, instead P-521"}),
    State("rsa issuer", issued(rsa_bits=2048), {ISSUER_CRYPTO: "must use ECDSA for public key algorithm, instead RSA was used"}),
    State("issuer expired", issued(begin=-9, end=-1), {ISSUER_DATES: "issuer certificate is not valid anymore. Expired on "}),
    State("issuer from tomorrow", issued(begin=1), {ISSUER_DATES: "issuer certificate is not valid before: "}),
    State("issuer expiring", issued(end=20), {f"issuer cert {SOON}": "issuer certificate will expire on "}, warning=True),
    State("issuer foreign", foreign, {CHAIN: "x509: certificate signed by unknown authority"}),
]  # fmt: skip


def served(name: str, **wishes: Any) -> Any:
    """Another certificate for a webhook."""

    async def change(mesh: Mesh) -> None:
        host = wishes.pop("host", f"linkerd-{name}.{mesh.control}.svc")
        pair = certs.issue(host, wishes.pop("by", mesh.installed.webhooks), **wishes)
        await mesh.secret(f"linkerd-{name}-k8s-tls", {"tls.crt": pair.pem, "tls.key": pair.key})

    return change


def trusting(name: str, **wishes: Any) -> Any:
    """Another bundle in a webhook's configuration."""

    async def change(mesh: Mesh) -> None:
        config = f"linkerd-{name}-webhook-config"
        found = await mesh.cluster.get(WEBHOOKS[name], None, config)
        found["webhooks"][0]["clientConfig"]["caBundle"] = encoded(certs.authority("other", **wishes).pem)
        await mesh.patch(WEBHOOKS[name], None, config, {"webhooks": found["webhooks"]})

    return change


async def two_webhooks(mesh: Mesh) -> None:
    config = "linkerd-proxy-injector-webhook-config"
    found = await mesh.cluster.get(MUTATING, None, config)
    more = {**found["webhooks"][0], "name": "another.linkerd.io"}
    await mesh.patch(MUTATING, None, config, {"webhooks": [*found["webhooks"], more]})


def no_webhook_secret(name: str) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.delete(SECRETS, mesh.control, f"linkerd-{name}-k8s-tls")

    return change


UNKNOWN = "cert is not issued by the trust anchor: x509: certificate signed by unknown authority"


def valid(name: str) -> str:
    return f"{name} webhook has valid cert"


HOOKS = [
    *(State(f"{name} ca mismatch", trusting(name), {valid(name): UNKNOWN}) for name in WEBHOOKS),
    *(State(f"{name} expiring", served(name, end=30), {f"{name} cert {SOON}": "certificate will expire on "}, warning=True)
      for name in WEBHOOKS),
    State("injector secret missing", no_webhook_secret("proxy-injector"),
          {valid("proxy-injector"): 'secrets "linkerd-proxy-injector-k8s-tls" not found'}),
    State("injector expired", served("proxy-injector", begin=-9, end=-1),
          {valid("proxy-injector"): "certificate is not valid anymore. Expired on "}),
    State("injector bundle expired", trusting("proxy-injector", begin=-9, end=-1),
          {valid("proxy-injector"): "anchors not within their validity period:\n\t* "}),
    State("injector other name", served("proxy-injector", host="elsewhere.svc"),
          {valid("proxy-injector"): "x509: certificate is valid for elsewhere.svc, not linkerd-proxy-injector."}),
    State("two webhooks", two_webhooks, {valid("proxy-injector"): "expected 1 webhooks, found 2"}),
]  # fmt: skip


@parameters(STATES)
async def test_identity_is_found(mesh: Mesh, state: State) -> None:
    await expect(mesh, state)


@parameters(HOOKS)
async def test_webhook_is_found(mesh: Mesh, state: State) -> None:
    await expect(mesh, state)


async def test_no_policy_validator_is_fine(mesh: Mesh) -> None:
    await no_webhook_secret("policy-validator")(mesh)
    assert wrong(await mesh.check()) == {}


async def test_rsa_anchor_is_fine(mesh: Mesh) -> None:
    await anchored(rsa_bits=2048)(mesh)
    assert wrong(await mesh.check()) == {}


async def test_external_issuer_is_fine(mesh: Mesh) -> None:
    pair = mesh.installed.issuer
    await external_without_anchors(mesh)
    await mesh.secret(ISSUER, {"ca.crt": mesh.installed.anchor.pem, "tls.crt": pair.pem, "tls.key": pair.key})
    assert wrong(await mesh.check()) == {}
