"""The images the dev cluster knows: names and what running them means here; looked up by `container`.

An image is not a file system but a table entry: its entry point, default command and environment. Programs come from
this machine, `python` and `python3` are the interpreter the dev cluster runs on.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

_PYTHON_ENV = {"LANG": "C.UTF-8", "PYTHON_VERSION": ".".join(str(part) for part in sys.version_info[:3])}


@dataclass(frozen=True, slots=True)
class Image:
    """What a container of an image runs unless its spec says otherwise."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


class Images:
    """The table; tests and users may add to `known` (names may be patterns)."""

    def __init__(self, folder: Path) -> None:
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True, exist_ok=True)
        for name in ("python", "python3"):
            link = self._bin / name
            link.unlink(missing_ok=True)
            link.symlink_to(sys.executable)
        python = Image(command=("python3",), env=_PYTHON_ENV)
        self.known: dict[str, Image] = {
            "python:3.*": python,
            "docker.io/library/python:3.*": python,
            "ground/python:3.*": Image(command=("sh",), env=_PYTHON_ENV),
        }

    def find(self, name: str) -> Image | None:
        """Return an image, None when it can't be pulled."""
        return next((image for pattern, image in self.known.items() if fnmatch.fnmatchcase(name, pattern)), None)

    def path(self) -> str:
        """Return PATH inside every container: our interpreter first, then this machine's programs."""
        system = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        return os.pathsep.join([str(self._bin), system])
