"""A program that is not allowed what a sandbox needs: started by `test_doctor` with a restriction's name and a command.

The restrictions are the kernel's own, as they are found in hardened kernels and containers; made without touching this
machine, in a user namespace or for one process only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

from interceptor.sandbox.kernel import system

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
# Classic BPF (linux/filter.h, linux/seccomp.h): load the call's number, compare, return an errno or allow.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_UNSHARE = {"x86_64": 272, "aarch64": 97, "riscv64": 97, "ppc64le": 282, "s390x": 303}


_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE = 1, 32, 4096, 16384
_PLAIN = 2 | 4 | 8  # nosuid, nodev, noexec: a user namespace may not drop what the outer mount has


_STAGE = "/mnt"


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def limited(setting: str) -> None:
    """Be in a user namespace in which no more namespaces may be made (user.max_..._namespaces)."""
    uid, gid = os.getuid(), os.getgid()
    system.unshare(system.NEW_USER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    Path(f"/proc/sys/user/{setting}").write_text("0")


def filtered() -> None:
    """Have unshare(2) answered with EPERM, as Docker's default profile does."""
    answer(errno.EPERM, _UNSHARE[os.uname().machine])


def answer(error: int, call: int, *arguments: tuple[int, int]) -> None:
    """Have a system call answered with an error from now on, where its arguments of these positions are as given."""
    words = [(0, call), *((16 + 8 * position, value) for position, value in arguments)]
    answers = b""
    for left, (offset, value) in zip(range(len(words), 0, -1), words, strict=True):
        answers += struct.pack("=HBBI", _LOAD, 0, 0, offset)
        answers += struct.pack("=HBBI", _JUMP_IF_EQUAL, 0, 2 * left - 1, value)
    answers += struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | error) + struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(answers) // 8, answers)
    for result in (
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_mounts() -> None:
    """Be root of a user namespace with mounts of its own."""
    uid, gid = os.getuid(), os.getgid()
    system.unshare(system.NEW_USER | system.NEW_MOUNTS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def in_chroot() -> None:
    """Live in a folder that holds all of this machine, but is not its root."""
    own_mounts()
    system.mount("tmpfs", _STAGE, "tmpfs")  # gone with our mounts: nothing is to be tidied up, and must not be
    inside = Path(_STAGE, "root")
    inside.mkdir()
    for entry in Path("/").iterdir():
        place = inside / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir() and str(entry) != _STAGE:
            place.mkdir()
            system.mount(str(entry), str(place), flags=_BIND | _RECURSIVE)
    os.chroot(inside)
    os.chdir("/tmp")


def read_only_settings() -> None:
    """Have /proc/sys mounted to be read only, and /proc masked, as container runtimes do."""
    own_mounts()
    for path, flags in (("/proc/sys", _BIND | _RECURSIVE), ("/proc/sys", _BIND | _REMOUNT | _READ_ONLY | _PLAIN)):
        system.mount(path, path, flags=flags)
    system.mount("tmpfs", "/proc/scsi" if Path("/proc/scsi").exists() else "/proc/fs", "tmpfs")


def main() -> None:
    """Restrict this process, then become the command."""
    restriction, *command = sys.argv[1:]
    if restriction == "seccomp":
        filtered()
    elif restriction == "chroot":
        in_chroot()
    elif restriction == "settings":
        read_only_settings()
    else:
        limited(restriction)
    os.execv(command[0], command)  # noqa: S606  what the test asks for


if __name__ == "__main__":
    main()
