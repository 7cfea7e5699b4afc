"""The volumes of a pod as folders, and which path in the container is which folder; used by `pod` and `container`.

There is no mount namespace: a program that opens /etc/config/x literally doesn't find it. What can be translated is:
each word of a command that starts with a mount path becomes the folder's path (`translate`). Secrets and ConfigMaps
follow their objects.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from pathlib import Path

from interceptor.devcluster import resources
from interceptor.devcluster.auth.tokens import Tokens
from interceptor.devcluster.node.environment import ConfigError, field_value, resource_value
from interceptor.devcluster.objects import Object, name_of, namespace_of
from interceptor.devcluster.store import Store

Files = dict[str, tuple[bytes, int]]
"""What a volume holds: path to content and mode."""

_FRESH = 0.8  # a token is replaced after this part of its life


class MountError(Exception):
    """A volume can't be set up (yet); the message is the kubelet's."""


class Volumes:
    """The volumes of one pod."""

    def __init__(self, store: Store, tokens: Tokens, pod: Object, folder: Path) -> None:
        self._store = store
        self._tokens = tokens
        self._pod = pod
        self._folder = folder
        self._token_cache: dict[str, tuple[float, bytes]] = {}

    def refresh(self, pod: Object) -> None:
        """Make all folders and bring their files up to date; raise MountError when something is missing."""
        self._pod = pod
        for volume in pod["spec"].get("volumes") or ():
            if "hostPath" in volume:
                continue
            folder = self._folder / volume["name"]
            folder.mkdir(parents=True, exist_ok=True)
            if (files := self._files(volume)) is not None:
                _write(folder, files)

    def mounts(self, container: Object) -> list[tuple[str, str]]:
        """Return (path in the container, path here), the longest first."""
        kinds = {volume["name"]: volume for volume in self._pod["spec"].get("volumes") or ()}
        found = []
        for mount in container.get("volumeMounts") or ():
            volume = kinds[mount["name"]]
            root = Path(volume["hostPath"]["path"]) if "hostPath" in volume else self._folder / mount["name"]
            if sub := mount.get("subPath"):
                root /= sub
                if "emptyDir" in volume:
                    root.mkdir(parents=True, exist_ok=True)
            found.append((mount["mountPath"].rstrip("/"), str(root)))
        return sorted(found, key=lambda pair: len(pair[0]), reverse=True)

    def _files(self, volume: Object) -> Files | None:
        if "emptyDir" in volume:
            return None
        if "secret" in volume:
            source = volume["secret"]
            return self._keys(resources.SECRETS, source.get("secretName", ""), source, source["defaultMode"])
        if "configMap" in volume:
            source = volume["configMap"]
            return self._keys(resources.CONFIGMAPS, source["name"], source, source["defaultMode"])
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"], volume["downwardAPI"]["defaultMode"])
        if "projected" in volume:
            files: Files = {}
            for source in volume["projected"].get("sources") or ():
                files |= self._projected(volume["name"], source, volume["projected"]["defaultMode"])
            return files
        kind = next(key for key in volume if key != "name")
        raise MountError(
            f'MountVolume.SetUp failed for volume "{volume["name"]}" : the dev cluster has no {kind} volumes'
        )

    def _projected(self, name: str, source: Object, mode: int) -> Files:
        if "serviceAccountToken" in source:
            return {source["serviceAccountToken"]["path"]: (self._token(name, source["serviceAccountToken"]), mode)}
        if "configMap" in source:
            return self._keys(resources.CONFIGMAPS, source["configMap"]["name"], source["configMap"], mode)
        if "secret" in source:
            return self._keys(resources.SECRETS, source["secret"]["name"], source["secret"], mode)
        if "downwardAPI" in source:
            return self._downward(source["downwardAPI"], mode)
        raise MountError(f"the dev cluster can't project {next(iter(source))}")

    def _keys(self, resource: resources.Resource, name: str, source: Object, mode: int) -> Files:
        found = self._store.get(resource, namespace_of(self._pod), name)
        if found is None:
            if source.get("optional"):
                return {}
            raise MountError(f'MountVolume.SetUp failed for volume : {resource.singular} "{name}" not found')
        if resource is resources.SECRETS:
            data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        else:
            data = {key: str(value).encode() for key, value in (found.get("data") or {}).items()}
            data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
        items = source.get("items")
        if items is None:
            return {key: (value, mode) for key, value in data.items()}
        files: Files = {}
        for item in items:
            if item["key"] in data:
                files[item["path"]] = (data[item["key"]], item.get("mode", mode))
            elif not source.get("optional"):
                raise MountError(
                    f"MountVolume.SetUp failed for volume : references non-existent {resource.singular} key: {item['key']}"
                )
        return files

    def _downward(self, source: Object, mode: int) -> Files:
        files: Files = {}
        for item in source.get("items") or ():
            try:
                if "fieldRef" in item:
                    value = field_value(self._pod, item["fieldRef"]["fieldPath"])
                else:
                    value = resource_value(self._pod, {}, item["resourceFieldRef"])
            except ConfigError as error:
                raise MountError(str(error)) from error
            files[item["path"]] = (value.encode(), item.get("mode", mode))
        return files

    def _token(self, volume: str, source: Object) -> bytes:
        key = f"{volume}/{source['path']}"
        known = self._token_cache.get(key)
        if known and time.monotonic() < known[0]:
            return known[1]
        namespace, name = namespace_of(self._pod), self._pod["spec"]["serviceAccountName"]
        account = self._store.get(resources.SERVICEACCOUNTS, namespace, name)
        if account is None:
            raise MountError(f'failed to fetch token: serviceaccounts "{name}" not found')
        seconds = source["expirationSeconds"]
        audiences = [source["audience"]] if source.get("audience") else None
        token = self._tokens.issue(account, seconds, self._pod, audiences).encode()
        self._token_cache[key] = (time.monotonic() + _FRESH * seconds, token)
        return token

    def uses(self, resource: resources.Resource, name: str) -> bool:
        """Tell whether some volume shows this Secret or ConfigMap."""
        wanted = {"secret": resources.SECRETS, "configMap": resources.CONFIGMAPS}
        sources = [
            source
            for volume in self._pod["spec"].get("volumes") or ()
            for source in (volume, *volume.get("projected", {}).get("sources", ()))
        ]
        return any(
            kind in source
            and wanted[kind] is resource
            and name in (source[kind].get("name"), source[kind].get("secretName"))
            for source in sources
            for kind in wanted
        )

    def remove(self) -> None:
        """Delete the folders."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __repr__(self) -> str:
        return f"<volumes of {name_of(self._pod)}>"


def _write(folder: Path, files: Files) -> None:
    """Write changed files, each in one step, and remove those that are no longer named."""
    for relative, (content, mode) in files.items():
        path = folder / relative
        if path.is_file() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        fresh.chmod(mode | 0o400)
        fresh.replace(path)
    kept = {str(folder / relative) for relative in files}
    for path in folder.rglob("*"):
        if path.is_file() and str(path) not in kept:
            path.unlink()


def translate(words: list[str], mounts: list[tuple[str, str]]) -> list[str]:
    """Turn each word that starts with a mount path into the path here."""
    result = []
    for word in words:
        for inside, here in mounts:
            if word == inside or word.startswith(inside + "/"):
                word = here + word[len(inside) :]  # noqa: PLW2901
                break
        result.append(word)
    return result
