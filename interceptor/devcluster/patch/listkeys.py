"""By which field the items of a list are told apart: data for strategic merge and server-side apply.

Kubernetes keeps this in its Go types (`patchMergeKey`, `listMapKey`); here are the lists of the kinds the dev cluster
serves. A list that isn't named is replaced as a whole (atomic).
"""

from __future__ import annotations

from collections.abc import Mapping

MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    # parent field "." list field, or just the list field where the name tells enough
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "secrets": ("name",),
    "containers.ports": ("containerPort",),
    "initContainers.ports": ("containerPort",),
    "spec.ports": ("port",),
}
"""The strategic merge key (one) of each list."""

APPLY_KEYS: Mapping[str, tuple[str, ...]] = {
    **MERGE_KEYS,
    "containers.ports": ("containerPort", "protocol"),
    "initContainers.ports": ("containerPort", "protocol"),
    "spec.ports": ("port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""The map keys of server-side apply: ports need the protocol too."""

SETS = frozenset({"finalizers"})
"""Lists of scalars that merge as sets."""

KEY_DEFAULTS: Mapping[str, str] = {"protocol": "TCP"}


def keys_for(table: Mapping[str, tuple[str, ...]], parent: str, field: str) -> tuple[str, ...]:
    """Return the keys of the list `field` inside `parent`; () when it is atomic."""
    return table.get(f"{parent}.{field}") or table.get(field) or ()
