"""The checks that come first everywhere: the API answers, and is new enough. `session.check` puts them ahead."""

from __future__ import annotations

import re
from typing import Any

from interceptor.kube import Unauthorized, Unreachable
from interceptor.kube.errors import ApiError
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Row, Unknown, Verdict, row

MINIMUM = (1, 31, 0)  # what Linkerd of 2026 asks for; our own commands are content with 1.26

_DIGITS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


def categories() -> list[Category]:
    """`kubernetes-api` and `kubernetes-version`."""
    return [
        Category(
            "kubernetes-api",
            (
                Check("can initialize the client", _client, "k8s-api", fatal=True),
                Check("can query the Kubernetes API", _query, "k8s-api", fatal=True),
            ),
            "kubernetes",
        ),
        Category(
            "kubernetes-version",
            (Check("is running the minimum Kubernetes API version", _minimum, "k8s-version"),),
            "kubernetes",
        ),
    ]


def unusable(reason: str) -> Row:
    """The one row there is where not even the kubeconfig can be used."""
    category = categories()[0]
    told = row(category, category.checks[0], Failed(reason))
    assert told is not None
    return told


async def _client(_: Facts) -> Verdict:
    return PASSED  # there is a Cluster: `session` says otherwise by `unusable`


async def _query(facts: Facts) -> Verdict:
    try:
        await _version(facts)
    except (Unreachable, Unauthorized, ApiError) as error:
        return Failed(str(error))
    return PASSED


async def _minimum(facts: Facts) -> Verdict:
    text = str((await _version(facts)).get("gitVersion", ""))
    found = _DIGITS.match(text)
    if found is None:
        return Unknown(f"the version {text!r} can't be read")
    version = tuple(int(part or 0) for part in found.groups())
    if version >= MINIMUM:
        return PASSED
    return Failed(
        f"Kubernetes is on version [{_dotted(version)}], but version [{_dotted(MINIMUM)}] or more recent is required"
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


async def _version(facts: Facts) -> dict[str, Any]:
    return await facts.once(("version",), facts.cluster.version)
