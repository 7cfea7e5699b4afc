"""Which of the container's volumes COMMAND gets to see, and where; pure, `session.volumes` asks.

All of them at their own paths, but for those that would hide what must stay this machine's: the folder COMMAND starts in,
home, the temporary folder, its interpreter, devices. Such a one is told and left out, unless it is named by `--mount`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.errors import UsageError

SYSTEM = ("/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/opt", "/root", "/run", "/sbin", "/usr", "/var")
"""A volume on top of one of these hides what every program here needs; one below it is fine."""
DEVICES = ("/dev", "/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume mount of the container. `kind` is the API's: secret, configMap, projected, emptyDir, ..."""

    path: str
    kind: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What `--mount` says: nothing at all, writing allowed, paths named, and where they are to be instead."""

    nothing: bool = False
    write: bool = False
    named: Mapping[str, str] | None = None  # path in the pod: path here

    @property
    def places(self) -> Mapping[str, str]:
        """The named ones."""
        return self.named or {}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A volume and where it is to be seen here."""

    volume: Volume
    target: str
    named: bool


def read_wish(words: Sequence[str], folder: str) -> Wish:
    """Read `none`, `rw`, `PATH` and `PATH:LOCAL`, as typed in `folder` (empty: deleted). Raises UsageError."""
    named: dict[str, str] = {}
    for word in words:
        if word in ("none", "rw"):
            continue
        path, colon, place = word.partition(":")
        if not path.startswith("/") or (colon and not place):
            raise UsageError(f"--mount {word}", hint="type none, rw, or a path in the pod: PATH or PATH:LOCAL")
        if colon and not (folder or place.startswith("/")):
            raise UsageError(f"--mount {word}: this folder was deleted", hint="give LOCAL from / on, or change folders")
        here = place if place.startswith("/") else f"{folder}/{place}"
        path, here = _plain(path), _plain(here if colon else path)
        taken = [other for other, at in named.items() if at == here and other != path]
        if taken:
            raise UsageError(f"--mount: {taken[0]} and {path} can't both be at {here}", hint="name another place")
        named[path] = here
    if "none" in words and len(words) > 1:
        raise UsageError("--mount none goes alone", hint="leave it out, or the others")
    return Wish("none" in words, "rw" in words, named)


def volumes_of(pod: Mapping[str, Any], container: str, own: str) -> list[Volume]:
    """The container's volume mounts as the pod's object has them, what admission added included, `own` not."""
    spec = pod["spec"]
    kinds = {volume["name"]: next((key for key in volume if key != "name"), "") for volume in spec.get("volumes") or []}
    chosen = next(item for item in spec["containers"] if item["name"] == container)
    found = [
        Volume(_plain(mount["mountPath"]), kinds.get(mount["name"], ""), bool(mount.get("readOnly")))
        for mount in chosen.get("volumeMounts") or []
    ]
    # The outer ones first: a volume may be mounted inside another.
    return sorted((volume for volume in found if volume.path != own), key=lambda volume: volume.path)


def choose(volumes: Iterable[Volume], wish: Wish, machine: Iterable[str]) -> tuple[list[Chosen], list[str]]:
    """What to show, and a sentence for each that is left out. `machine` are the folders that stay this machine's."""
    volumes = list(volumes)
    if wish.nothing:
        return [], []
    check_named(volumes, wish)
    chosen: list[Chosen] = []
    notes: list[str] = []
    kept = [_plain(folder) for folder in machine]
    for volume in volumes:
        if volume.path in wish.places:
            chosen.append(Chosen(volume, wish.places[volume.path], named=True))
            continue
        hidden = _hidden(volume.path, kept)
        if hidden:
            notes.append(f"volume {volume.path} is left out, it would lie {hidden}; --mount {volume.path} shows it")
        else:
            chosen.append(Chosen(volume, volume.path, named=False))
    return chosen, notes


def check_named(volumes: Iterable[Volume], wish: Wish) -> None:
    """See that what is named is among them. Raises UsageError."""
    paths = sorted({volume.path for volume in volumes})
    for path in wish.places:
        if path not in paths:
            from difflib import get_close_matches  # noqa: PLC0415  for mistakes only

            meant = get_close_matches(path, paths, n=1)
            known = f"it has {', '.join(paths)}" if paths else "it has none"
            hint = f"did you mean {meant[0]}? {known}" if meant else known
            raise UsageError(f"--mount {path}: the container has no volume there", hint=hint)


def _hidden(path: str, machine: Sequence[str]) -> str:
    """Where a mount would be in the way of this machine's own, as words; empty for nowhere."""
    for folder in (*SYSTEM, *DEVICES, *machine):
        if path == folder:
            return f"over this machine's {folder}"
    for folder in (*DEVICES, *machine):
        if folder != "/" and _is_in(folder, path):
            return f"over this machine's {folder}"
        if folder != "/" and _is_in(path, folder):
            return f"in this machine's {folder}"
    return ""


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _plain(path: str) -> str:
    """Without `.`, `..`, double and trailing slashes; symlinks are the sandbox's to follow."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return "/" + "/".join(names)
