"""Reading PEM as strictly as Linkerd does, and chains of certificates."""

from __future__ import annotations

import datetime

import pytest

from e2e.mesh import certs
from interceptor.mesh import certificates
from interceptor.mesh.certificates import BadCertificate, Credentials

NOW = datetime.datetime.now(datetime.UTC)


def test_bundle_is_read_in_order() -> None:
    first, second = certs.authority("a"), certs.authority("b")
    assert [certificates.common_name(c) for c in certificates.read_certificates(first.pem + second.pem)] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadCertificate):
        certificates.read_certificates(text)


def test_junk_behind_is_refused() -> None:
    with pytest.raises(BadCertificate, match="not a PEM certificate"):
        certificates.read_certificates(certs.authority().pem + "\nmore")


def test_chain_goes_over_intermediates() -> None:
    anchor = certs.authority()
    between = certs.issuer(anchor)
    leaf = certs.issue("a.example", between)
    whole = Credentials(leaf.certificate, (between.certificate,))
    assert certificates.chain_problem(whole, [anchor.certificate], NOW, "a.example") == ""
    alone = Credentials(leaf.certificate, ())
    assert "unknown authority" in certificates.chain_problem(alone, [anchor.certificate], NOW)


def test_leaf_signs_nobody() -> None:
    anchor = certs.authority()
    leaf = certs.issue("a.example", anchor)
    below = certs.issue("b.example", leaf)
    chain = Credentials(below.certificate, (leaf.certificate,))
    assert "unknown authority" in certificates.chain_problem(chain, [anchor.certificate], NOW)


def test_expired_intermediate_breaks_the_chain() -> None:
    anchor = certs.authority()
    between = certs.issuer(anchor, begin=-9, end=-1)
    chain = Credentials(certs.issue("a.example", between).certificate, (between.certificate,))
    assert certificates.chain_problem(chain, [anchor.certificate], NOW) != ""


def test_loop_of_intermediates_ends() -> None:
    one = certs.issuer(certs.authority())
    chain = Credentials(one.certificate, (one.certificate, one.certificate))
    assert certificates.chain_problem(chain, [certs.authority().certificate], NOW) != ""
