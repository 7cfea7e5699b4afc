"""The container's environment, from what the app's container said before the swap and what the agent's says now.

Pure; `intercept` calls it. In the container's own image the agent has it exactly. In an image of its own it has what the
template says (and the kubelet resolved: ConfigMaps, Secrets, fields of the living pod), but the variables that the
app's image sets are known only from the app's container, and those of the agent's image don't belong there.
"""

from __future__ import annotations

from collections.abc import Mapping

from interceptor.session.plan import Plan

_PYTHON_IMAGE = (
    "PATH",
    "LANG",
    "GPG_KEY",
    "PYTHON_VERSION",
    "PYTHON_SHA256",
    "PYTHON_PIP_VERSION",
    "PYTHON_SETUPTOOLS_VERSION",
    "PYTHON_GET_PIP_URL",
    "PYTHON_GET_PIP_SHA256",
)


def environment_of(plan: Plan, agent: Mapping[str, str]) -> dict[str, str]:
    """The variables as a process of the app's container would see them in a pod that lives."""
    if plan.swap.image is None:
        return dict(agent)
    named = _named(plan)
    app = plan.facts.environ
    if app is None:
        return {name: value for name, value in agent.items() if name in named or name not in _PYTHON_IMAGE}
    return dict(app) | {name: agent[name] for name in named if name in agent}


def _named(plan: Plan) -> set[str]:
    """Variables that the template sets by name, and the one that every pod has of its own."""
    containers = plan.workload["spec"]["template"]["spec"]["containers"]
    chosen = next(item for item in containers if item["name"] == plan.swap.container)
    return {"HOSTNAME", *(entry["name"] for entry in chosen.get("env") or [])}
