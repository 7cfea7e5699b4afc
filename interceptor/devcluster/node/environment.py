"""The environment of a container: from its spec, ConfigMaps, Secrets, the pod itself and Services.

Called by `container`.

Values keep the precedence of the kubelet: Services, then `envFrom`, then `env`; `$(VAR)` sees what stands before it.
"""

from __future__ import annotations

import base64
import math
import os
import re
from decimal import Decimal

from interceptor.devcluster import resources
from interceptor.devcluster.admission import NODE
from interceptor.devcluster.objects import Object, name_of, namespace_of, uid_of
from interceptor.devcluster.store import Store

_REFERENCE = re.compile(r"\$(\$|\([^()]*\))?")
_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
_KEYED = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")
_UNITS = {
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


class ConfigError(Exception):
    """Something the container refers to isn't there; the message is the kubelet's."""


def expand(text: str, values: dict[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign, an unknown name stays as it is."""

    def replace(match: re.Match[str]) -> str:
        inner = match.group(1)
        if inner is None:
            return "$"
        return "$" if inner == "$" else values.get(inner[1:-1], match.group(0))

    return _REFERENCE.sub(replace, text)


def quantity(text: str | int | float) -> Decimal:
    """Read a resource quantity such as 500m or 64Mi."""
    spelled = str(text)
    for unit in sorted(_UNITS, key=len, reverse=True):
        if spelled.endswith(unit):
            return Decimal(spelled.removesuffix(unit)) * _UNITS[unit]
    return Decimal(spelled)


def field_value(pod: Object, path: str) -> str:
    """Return what a fieldRef names."""
    if found := _KEYED.match(path):
        return str((pod["metadata"].get(found.group(1)) or {}).get(found.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        items = pod["metadata"].get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(items.items()))
    address = pod["status"].get("podIP", "")
    values: dict[str, str] = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": NODE,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": pod["status"].get("hostIP", ""),
        "status.hostIPs": pod["status"].get("hostIP", ""),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values[path]


def resource_value(pod: Object, container: Object, source: Object) -> str:
    """Return what a resourceFieldRef names, in units of its divisor; without a limit, what this machine has."""
    chosen = container
    if wanted := source.get("containerName"):
        chosen = next(item for item in pod["spec"]["containers"] if item["name"] == wanted)
    kind, _, name = source["resource"].partition(".")
    found = (chosen.get("resources", {}).get(kind) or {}).get(name)
    if found is None and kind == "limits":
        found = os.cpu_count() or 1 if name == "cpu" else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    divisor = quantity(source.get("divisor") or 0) or Decimal(1)
    return str(math.ceil(quantity(found or 0) / divisor))


class Environment:
    """Builds the environment of one container."""

    def __init__(self, store: Store, pod: Object, container: Object) -> None:
        self._store = store
        self._pod = pod
        self._container = container
        self._namespace = namespace_of(pod)

    def build(self, base: dict[str, str]) -> dict[str, str]:
        """Return `base` (image and runtime) with everything the spec adds; raise ConfigError when something is missing."""
        services = self._services()
        values: dict[str, str] = {}
        for source in self._container.get("envFrom") or ():
            values.update(self._from(source))
        for entry in self._container.get("env") or ():
            if "valueFrom" in entry:
                value = self._value_from(entry["valueFrom"])
                if value is not None:
                    values[entry["name"]] = value
            else:
                values[entry["name"]] = expand(entry.get("value", ""), services | values)
        return base | services | values

    def _from(self, source: Object) -> dict[str, str]:
        kind = "configMapRef" if "configMapRef" in source else "secretRef"
        ref = source[kind]
        data = self._data(kind == "secretRef", ref)
        prefix = source.get("prefix", "")
        return {prefix + key: value for key, value in (data or {}).items() if _NAME.match(prefix + key)}

    def _data(self, secret: bool, ref: Object) -> dict[str, str] | None:
        resource = resources.SECRETS if secret else resources.CONFIGMAPS
        found = self._store.get(resource, self._namespace, ref["name"])
        if found is None:
            if ref.get("optional"):
                return None
            raise ConfigError(f'{resource.singular} "{ref["name"]}" not found')
        data = found.get("data") or {}
        if secret:
            return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}
        return dict(data)

    def _value_from(self, source: Object) -> str | None:
        if "fieldRef" in source:
            return field_value(self._pod, source["fieldRef"]["fieldPath"])
        if "resourceFieldRef" in source:
            return resource_value(self._pod, self._container, source["resourceFieldRef"])
        secret = "secretKeyRef" in source
        ref = source["secretKeyRef" if secret else "configMapKeyRef"]
        data = self._data(secret, ref)
        if data is None:
            return None
        if ref["key"] not in data:
            if ref.get("optional"):
                return None
            kind = "Secret" if secret else "ConfigMap"
            raise ConfigError(f"couldn't find key {ref['key']} in {kind} {self._namespace}/{ref['name']}")
        return data[ref["key"]]

    def _services(self) -> dict[str, str]:
        found = [
            service for service in self._store.list(resources.SERVICES, "default") if name_of(service) == "kubernetes"
        ]
        if self._pod["spec"].get("enableServiceLinks", True):
            found += [
                service
                for service in self._store.list(resources.SERVICES, self._namespace)
                if name_of(service) != "kubernetes"
            ]
        values: dict[str, str] = {}
        for service in found:
            if service["spec"].get("clusterIP", "None") != "None":
                values.update(_service_variables(service))
        return values


def _service_variables(service: Object) -> dict[str, str]:
    name = name_of(service).upper().replace("-", "_")
    address, ports = service["spec"]["clusterIP"], service["spec"].get("ports") or ()
    if not ports:
        return {}
    first = ports[0]
    values = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            values[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    url = f"{first['protocol'].lower()}://{address}:{first['port']}"
    values[f"{name}_PORT"] = url
    for port in ports:
        prefix = f"{name}_PORT_{port['port']}_{port['protocol']}"
        values[prefix] = f"{port['protocol'].lower()}://{address}:{port['port']}"
        values |= {
            f"{prefix}_PROTO": port["protocol"].lower(),
            f"{prefix}_PORT": str(port["port"]),
            f"{prefix}_ADDR": address,
        }
    return values
