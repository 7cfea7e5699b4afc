"""Builds the environment COMMAND starts with, and writes it to a file; `session` calls it before `sandbox.process`.

The process is to live in the pod's world, so its variables are the container's. What the shell on this machine
happens to export stays out: an AWS profile or a database address of the developer's would make the process
behave unlike the pod. Two kinds of own names come along, because without them nothing runs well here: those that
say where things are on this machine (ours win) and those that set how tools talk to a person (they fill gaps).
"""

import json
import os
import pwd
import shlex
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

from interceptor.errors import InterceptorError

# fmt: off
OURS_WIN = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "SHLVL", "PWD", "OLDPWD", "TMPDIR", "XDG_*",
    "TERM", "TERM_*", "COLORTERM", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS",
    "SSH_*", "GPG_TTY", "WSL*", "VSCODE_*",
    # where this machine's interpreters, compilers and libraries are
    "VIRTUAL_ENV*", "CONDA_*", "PYENV_*", "UV_*", "PYTHONPATH", "PYTHONHOME", "NVM_*", "NODE_PATH", "VOLTA_HOME",
    "JAVA_HOME", "CLASSPATH", "SDKMAN_*", "GOPATH", "GOROOT", "GOBIN", "CARGO_HOME", "RUSTUP_*", "GEM_HOME",
    "GEM_PATH", "RBENV_*", "ASDF_*", "MISE_*", "NIX_*", "DOTNET_ROOT", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*",
)
OURS_FILL = (
    "LANG", "LANGUAGE", "LC_*", "EDITOR", "VISUAL", "PAGER", "NO_COLOR", "FORCE_COLOR", "CLICOLOR*",
    "PYTHON*", "PYDEVD_*", "DEBUGPY_*", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS",
)
# Left out of the file: they describe the shell in the pod, and whoever reads the file has a shell of its own.
NOT_IN_FILE = ("PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "TERM", "_")
# fmt: on
KEEP_MORE = "INTERCEPTOR_KEEP_ENV"


class ProxyAddress(NamedTuple):
    """Where `sandbox.proxy` listens on this machine."""

    host: str
    port: int

    @property
    def http(self) -> str:
        """Name it as an HTTP proxy."""
        return f"http://{self.host}:{self.port}"

    @property
    def socks(self) -> str:
        """Name it as a SOCKS5 proxy that resolves names itself, which is to say in the pod."""
        return f"socks5h://{self.host}:{self.port}"


def own_variables() -> dict[str, str]:
    """Give this program's environment, with the user's home where it lacks one (a cron job's, `env -i`), as a login would."""
    own = dict(os.environ)
    if "HOME" not in own:
        with suppress(KeyError):  # a user that is in no database, as in containers: the pod's is all there is
            own["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
    return own


def compose(pod: Mapping[str, str], own: Mapping[str, str], proxy: ProxyAddress | None) -> dict[str, str]:
    """Build COMMAND's environment from the container's, this program's, and the way out.

    `own` may hold INTERCEPTOR_KEEP_ENV, names or patterns between commas: those come along too, and win.
    """
    more = tuple(name.strip() for name in own.get(KEEP_MORE, "").split(",") if name.strip())
    filling = {name: value for name, value in own.items() if _is_one_of(name, OURS_FILL)}
    winning = {name: value for name, value in own.items() if _is_one_of(name, OURS_WIN + more)}
    return filling | dict(pod) | winning | proxy_variables(proxy)


def for_file(pod: Mapping[str, str], proxy: ProxyAddress | None) -> dict[str, str]:
    """Build what the environment file holds: the container's variables without those of its shell, the way out."""
    return {name: value for name, value in pod.items() if name not in NOT_IN_FILE} | proxy_variables(proxy)


def proxy_variables(proxy: ProxyAddress | None) -> dict[str, str]:
    """Name the proxy in the variables that programs look at; they overrule the pod's own.

    `all_proxy` names it as HTTP too. As `socks5h://` it would stop every Python program that makes an httpx
    client without the package socksio (ImportError when the client is made), and it would win nothing: a
    CONNECT carries any TCP just as well. Who wants SOCKS finds it in INTERCEPTOR_SOCKS.
    """
    if proxy is None:
        return {}
    variables = {"INTERCEPTOR_SOCKS": proxy.socks}
    for name, value in (
        ("http_proxy", proxy.http),
        ("https_proxy", proxy.http),
        ("all_proxy", proxy.http),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ):
        variables[name] = variables[name.upper()] = value
    return variables


def write_env_file(path: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Write `environ` to `path`, readable by its owner alone; returns the names the format can't carry.

    `*.json` is one JSON object and carries everything. Any other name becomes lines `NAME=value` for
    `set -a; . FILE`, quoted as a POSIX shell needs it and only where it does, so that simple values read the
    same to `docker --env-file` and the dotenv libraries. A shell can't set a name like `my.name`: left out.
    """
    text, left_out = formatted(environ, "json" if path.suffix == ".json" else "file")
    try:
        _replace(path, text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InterceptorError(f"can't write {path}: {reason}", hint="name another file with --env-file") from error
    return left_out


def formatted(
    environ: Mapping[str, str], form: Literal["json", "file", "shell", "docker"]
) -> tuple[str, tuple[str, ...]]:
    """Write variables down for a reader; and the names that its format can't carry.

    `shell` is to be evaluated in a shell, `docker` is what `docker run --env-file` takes: everything behind the first `=`
    as it is, a line each.
    """
    if form == "json":
        return json.dumps(dict(environ), indent=2) + "\n", ()
    if form == "docker":
        left_out = tuple(name for name, value in environ.items() if "\n" in value or name.startswith("#"))
        return "".join(f"{name}={value}\n" for name, value in environ.items() if name not in left_out), left_out
    left_out = tuple(name for name in environ if not _is_shell_name(name))
    export = "export " if form == "shell" else ""
    lines = (f"{export}{name}={shlex.quote(value)}\n" for name, value in environ.items() if name not in left_out)
    return "".join(lines), left_out


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_shell_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _replace(path: Path, text: str) -> None:
    """Put the file there whole or not at all; a pipe or device (`/dev/stderr`) is written to as it is."""
    data = text.encode("utf-8", "surrogateescape")
    target = path.resolve()
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        target.write_bytes(data)
        return
    # mkstemp makes it 0600: the file holds the pod's secrets.
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
