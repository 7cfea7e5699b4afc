"""`interceptor` as somebody without rights on this machine: who runs the scenarios as root runs the client as nobody."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.intercept import Intercept, installed
from e2e.scene import Scene

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
FUSE = Path("/dev/fuse")


def run(scene: Scene, *arguments: str, restriction: str = "") -> Intercept:
    """`interceptor ARGUMENTS` as an unprivileged user, in the scene's home; its child is the program itself.

    With a restriction of `tests.sandbox.restricted` it is not allowed what a sandbox needs.
    """
    program, environ = typed(scene, restriction)
    return scene.stack.enter_context(Intercept(list(arguments), environ, program=program))


def typed(scene: Scene, restriction: str = "") -> tuple[list[str], dict[str, str]]:
    """What such a user types in place of `interceptor`, and the environment in which."""
    environ = scene.environment(PYTHONDONTWRITEBYTECODE="1")
    restricted = ["-m", "tests.sandbox.restricted", restriction] if restriction else []
    if os.geteuid() != 0:
        return [*([sys.executable, *restricted] if restriction else []), *installed()], environ
    python, packages = _interpreter()
    config = scene.folder / "kubeconfig"
    shutil.copy(scene.kubectl.kubeconfig, config)
    for path in (config, *(Path(environ[name]) for name in ("HOME", "TMPDIR"))):
        os.chown(path, NOBODY, NOBODY)
    for folder in scene.folder.parents:
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o711)  # pytest's own folders are for their owner only
    scene.folder.chmod(0o711)
    environ |= {"KUBECONFIG": str(config), "PYTHONPATH": os.pathsep.join([str(ROOT), *packages]), "USER": "nobody"}
    given = os.environ.get("E2E_INTERCEPTOR")
    program = given.split() if given else [python, "-m", "interceptor"]
    away = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    environ["PATH"] = os.pathsep.join(path for path in environ["PATH"].split(os.pathsep) if _is_open(Path(path)))
    return [*away, *([python, *restricted] if restriction else []), *program], environ


def python() -> str:
    """An interpreter for COMMAND that the same user may run."""
    return sys.executable if os.geteuid() != 0 else _interpreter()[0]


@contextmanager
def fuse() -> Iterator[None]:
    """/dev/fuse as desktops have it: anybody may open it. Skips where it is not to be had."""
    if not FUSE.exists():
        pytest.skip("this machine has no /dev/fuse")
    before = FUSE.stat().st_mode
    if os.geteuid() == 0:
        FUSE.chmod(0o666)
    elif not os.access(FUSE, os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse may not be opened")
    try:
        yield
    finally:
        if os.geteuid() == 0:
            FUSE.chmod(before & 0o777)


def _is_open(folder: Path) -> bool:
    """Whether others may look into a folder and all above it."""
    return all(one.is_dir() and one.stat().st_mode & 0o001 for one in (folder, *folder.parents))


@functools.cache
def _interpreter() -> tuple[str, list[str]]:
    """A Python of this version that the unprivileged user may run, and where its packages are."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            subprocess.run(
                [candidate, "-c", "import aiohttp, cryptography"], env={"PYTHONPATH": os.pathsep.join(packages)},
                user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", check=True, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate, packages
    pytest.skip(f"no {version} here that an unprivileged user may run")
