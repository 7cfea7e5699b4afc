"""Packs the agent for the pod: `agent.pyz`, built in memory from the source beside this file; `objects.secret` carries it.

Only the modules that `agent.__main__` reaches by its imports go in, so that the client's own parts (and what they
import) stay out. The same source always gives the same names, times and order.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import interceptor
from interceptor.errors import InterceptorError

SIZE_LIMIT = 150_000  # of the 1 MiB a Secret holds; and it travels to every node
_MAIN = b"import sys\n\nfrom agent.__main__ import main\n\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip can tell

# Imports are read from the text: Python's parser takes 0.3 s of a start for it. A test holds both to the same answer.
_NEVER_RUN = re.compile(r"^([ \t]*)if (?:typing\.)?TYPE_CHECKING:.*\n(?:\1[ \t]+.*\n|[ \t]*\n)*", re.MULTILINE)
_COMMENT = re.compile(r"#.*")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>[.\w]+)[ \t]+import[ \t]*(?P<names>\([^)]*\)|.*)|import[ \t]+(?P<modules>.*))",
    re.MULTILINE,
)


def build(agent: Path | None = None) -> bytes:
    """The zipapp. `agent` is the package's folder, found by itself in a wheel and in a checkout."""
    folders = {"agent": agent or _agent_folder(), "interceptor": Path(interceptor.__file__).parent}
    files = {"__main__.py": _MAIN}
    for module, path in sorted(_closure("agent.__main__", folders).items()):
        parts = [*module.split("."), *(["__init__"] if path.name == "__init__.py" else [])]
        files["/".join(parts) + ".py"] = path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = 0o100444 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    content = packed.getvalue()
    if len(content) > SIZE_LIMIT:
        raise InterceptorError(f"the agent has {len(content)} bytes packed, more than the {SIZE_LIMIT} allowed")
    return content


def text_of(module: str) -> str:
    """The source of a program that is beside the agent and runs by itself."""
    return (_agent_folder() / f"{module}.py").read_text(encoding="utf-8")


def _agent_folder() -> Path:
    package = Path(interceptor.__file__).parent
    for folder in (package / "carried" / "agent", package.parent / "agent"):
        if (folder / "__main__.py").is_file():
            return folder
    raise InterceptorError("the agent's source is missing from this installation", hint="install interceptor again")


def _closure(start: str, folders: dict[str, Path]) -> dict[str, Path]:
    """Every module of our own that `start` imports, directly or not, with the packages they are in."""
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        above = module.rpartition(".")[0]
        if above in found and found[above].name != "__init__.py":
            continue  # a name in a module: no file to look for, and most of what is imported is one
        path = _file_of(module, folders)
        if path is None:
            continue
        found[module] = path
        waiting += [above] if above else []
        # The latest is looked at first: a package or module before the names that are imported from it.
        waiting += reversed([*_imports(module, path)])
    return found


def _imports(module: str, path: Path) -> Iterator[str]:
    """What a module's text imports, but for what stands under `if TYPE_CHECKING:`. A name imported from a package may be a
    module of it. What merely looks like an import, in a docstring, is none of our modules or does no harm.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    text = path.read_text(encoding="utf-8") + "\n"
    if "TYPE_CHECKING:" in text:
        text = _NEVER_RUN.sub("", text)
    text = _COMMENT.sub("", text)
    for found in _IMPORT.finditer(text):
        if found["modules"] is not None:
            yield from _names(found["modules"])
            continue
        named = found["base"].lstrip(".")
        if level := len(found["base"]) - len(named):
            above = package.split(".")[: len(package.split(".")) - level + 1]
            named = ".".join([*above, named] if named else above)
        yield named
        yield from (f"{named}.{name}" for name in _names(found["names"]))


def _names(listed: str) -> Iterator[str]:
    """`(a, b as c,)` without what they are called here."""
    yield from (name.split()[0] for name in listed.strip("() \t").split(",") if name.strip())


def _file_of(module: str, folders: dict[str, Path]) -> Path | None:
    """The source of a module in one of the packages, None for anything else (also a name that is no module)."""
    top, *rest = module.split(".")
    if top not in folders:
        return None
    place = folders[top].joinpath(*rest)
    package = place / "__init__.py"
    if package.is_file():
        return package
    single = place.with_name(place.name + ".py") if rest else None
    return single if single is not None and single.is_file() else None
