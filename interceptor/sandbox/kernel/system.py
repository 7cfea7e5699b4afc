"""System calls that Python 3.11 lacks: `child` makes its namespaces and mounts with them. Source: sched.h, sys/mount.h."""

from __future__ import annotations

import ctypes
import errno
import os

NEW_MOUNTS, NEW_UTS, NEW_USER, NEW_PIDS, NEW_NET = 0x20000, 0x4000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = (
    1,
    2,
    4,
    32,
    4096,
    16384,
    1 << 18,
    1 << 19,
)
MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "i686": 217}

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces of the caller for new ones."""
    _check(_libc.unshare(flags))


def die_with_parent(number: int) -> None:
    """Have the kernel send signal `number` when the parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0))


def set_host_name(name: str) -> None:
    """Name this UTS namespace."""
    raw = os.fsencode(name)
    _check(_libc.sethostname(raw, len(raw)))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    _check(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), os.fsencode(kind), ctypes.c_ulong(flags), os.fsencode(options)
        ),
        target,
    )


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2), which the C library has no function for."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), new)
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), new)


def _check(result: int, path: str | None = None) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
