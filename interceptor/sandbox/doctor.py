"""Which home COMMAND gets on this machine, found out by really making one, and how to get the better one; `cli.doctor` asks.

What is tried is what a session does: namespaces, their network, mounts, and a FUSE mount, each in a child that ends. The
settings that may forbid them are read only to say what to type.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interceptor.sandbox.namespace import SandboxFailed, open_namespace
from interceptor.sandbox.spec import File, Mount, MountKind, Network, Spec

State = Literal["good", "lacking", "unknown"]
DEVICE = "/dev/fuse"
_PLACE = "/tmp"  # noqa: S108  every machine has it; covered in the sandbox that is tried, and only there
_DOCUMENTED = "192.0.2.1"  # RFC 5737: an address that is nobody's


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `hint` is what to type where it is lacking."""

    name: str
    state: State
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a session would get: namespaces or a proxy; volumes by FUSE, as copies at their paths, or in a folder."""

    mode: Literal["namespace", "proxy"]
    volumes: Literal["fuse", "copies", "folder"]
    findings: tuple[Finding, ...]

    @property
    def best(self) -> bool:
        """Whether nothing better is to be had."""
        return all(finding.state == "good" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Facts:
    """What this machine is and says, as far as it bears on namespaces; empty where a setting doesn't exist."""

    system: str = ""
    kernel: str = ""
    settings: Mapping[str, str] | None = None
    filtered: bool = False  # our system calls are (seccomp)
    container: bool = False
    chroot: bool = False
    python: str = ""

    def setting(self, name: str) -> str:
        """A sysctl's value."""
        return (self.settings or {}).get(name, "")

    @property
    def wsl(self) -> int:
        """Which Windows Subsystem for Linux this is, 0 for none."""
        if "microsoft" not in self.kernel.lower():
            return 0
        return 2 if "wsl2" in self.kernel.lower() or not self.kernel.startswith("4.4.") else 1


# What `kernel.rules` names, in the order in which the modules need each other.
_MODULES = (
    *("nf_tables", "nfnetlink_queue", "nft_queue"),
    *("nft_tproxy", "nft_socket", "nft_reject", "nft_reject_ipv4", "nft_reject_ipv6"),
)
_SETTINGS = (
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "user.max_mnt_namespaces",
)


def read_facts(root: Path = Path("/")) -> Facts:
    """Look at the machine; `root` is where its /proc is."""

    def read(path: str) -> str:
        try:
            return (root / path).read_text().strip()
        except OSError:
            return ""

    status = dict(line.partition(":")[::2] for line in read("proc/self/status").splitlines())
    inside = [root / ".dockerenv", root / "run/.containerenv"]
    return Facts(
        system=platform.system(),
        kernel=read("proc/sys/kernel/osrelease"),
        settings={name: read(f"proc/sys/{name.replace('.', '/')}") for name in _SETTINGS},
        filtered=status.get("Seccomp", "0").strip() == "2",
        container=any(path.exists() for path in inside) or "container" in os.environ,
        chroot=_is_chroot(read("proc/self/mountinfo")),
        python=os.path.realpath(sys.executable),
    )


def _is_chroot(mounts: str) -> bool:
    """Whether no mount is the root: as long as that is not itself one, a chroot shows so."""
    return bool(mounts) and all(line.split()[4] != "/" for line in mounts.splitlines())


async def examine(facts: Facts | None = None) -> Report:
    """Try everything; takes some tenths of a second."""
    facts = facts or read_facts()
    if facts.system != "Linux":
        text = (
            f"{facts.system or 'this system'} has no namespaces like Linux's: COMMAND gets the pod's network by proxy"
        )
        hint = "for the whole, run interceptor in a Linux virtual machine or container"
        return Report("proxy", "folder", (Finding("system", "lacking", text, hint),))
    findings = [Finding("system", "good", f"Linux {facts.kernel}" + (f", WSL {facts.wsl}" if facts.wsl else ""))]
    failed, low_ports = await try_sandbox()
    if failed is not None:
        findings.append(Finding(failed.step, "lacking", failed.why, advise(failed.step, facts)))
        return Report("proxy", "folder", tuple(findings))
    findings.append(Finding("sandbox", "good", "network, names, mounts and host name of its own, without root"))
    if not low_ports:
        text = "/proc/sys is read-only: COMMAND can't listen on ports below 1024"
        findings.append(Finding("ports", "lacking", text, advise_ports(facts)))
    failed, _ = await try_sandbox((Mount(MountKind.FUSE, _PLACE, "interceptor-doctor"),))
    if failed is None:
        findings.append(
            Finding("volumes", "good", f"{DEVICE} may be mounted: files come from the pod as they are read")
        )
        return Report("namespace", "fuse", tuple(findings))
    text = f"{DEVICE}: {_why_no_device() or failed.why}; volumes are copied at the start, up to 8 MiB each"
    findings.append(Finding("volumes", "lacking", text, advise_device(facts)))
    return Report("namespace", "copies", tuple(findings))


async def try_sandbox(mounts: tuple[Mount, ...] = ()) -> tuple[SandboxFailed | None, bool]:
    """Make a sandbox and let it go; why it couldn't be made, and whether low ports are free in it."""
    spec = Spec(
        argv=("true",),
        executable="/bin/true",
        environ={},
        hostname="doctor",
        mounts=mounts,
        files=(File("/etc/resolv.conf", ""),),
        network=Network((_DOCUMENTED,)),
    )
    try:
        async with open_namespace(spec) as space:
            return None, space.low_ports
    except SandboxFailed as failed:
        return failed, False


def advise(step: str, facts: Facts) -> str:
    """What to type where a step of making a sandbox fails."""
    if facts.wsl == 1:
        return "WSL 1 has no namespaces; in Windows: wsl --set-version DISTRIBUTION 2"
    if step == "namespaces" and facts.chroot:
        return (
            "the kernel makes no user namespace in a chroot: enter it with pivot_root instead, as systemd-nspawn does"
        )
    if step in ("namespaces", "start", "host name"):
        if facts.setting("kernel.unprivileged_userns_clone") == "0":
            return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
        for name in ("user.max_user_namespaces", "user.max_net_namespaces", "user.max_mnt_namespaces"):
            if facts.setting(name) == "0":
                return f"sudo sysctl -w {name}=15000"
    if facts.setting("kernel.apparmor_restrict_unprivileged_userns") == "1" and not facts.container:
        return (
            "Ubuntu's AppArmor keeps namespaces to programs with a profile; for this one: "
            f"{apparmor_command(facts.python)}; or for all: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if facts.container or facts.filtered:
        return (
            "this container's runtime forbids it; start it with: docker run --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined --device /dev/fuse ..."
        )
    if step == "network":
        return f"the kernel lacks what it takes: sudo modprobe -a {' '.join(_MODULES)}"
    return (
        "the kernel was built without it (CONFIG_USER_NS, CONFIG_NET_NS), or a security module or a chroot forbids it"
    )


def advise_ports(facts: Facts) -> str:
    """What to type where /proc/sys may not be written."""
    if facts.container:
        return "start this container with: docker run --security-opt systempaths=unconfined ..."
    return "sudo mount -o remount,rw /proc/sys"


def apparmor_command(python: str) -> str:
    """Give one program the right to namespaces that Ubuntu 24.04 takes from those without a profile."""
    profile = f"abi <abi/4.0>, include <tunables/global> profile interceptor {python} flags=(unconfined) {{ userns, }}"
    return f"echo '{profile}' | sudo tee /etc/apparmor.d/interceptor && sudo apparmor_parser -r /etc/apparmor.d/interceptor"


def advise_device(facts: Facts) -> str:
    """What to type where the device may not be mounted."""
    code = _device_error()
    if facts.container:
        return "start this container with: docker run --device /dev/fuse --security-opt apparmor=unconfined ..."
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return "sudo modprobe fuse"
    if code in (errno.EACCES, errno.EPERM):
        return 'sudo chmod 666 /dev/fuse  (as most distributions have it; udev rule: KERNEL=="fuse", MODE="0666")'
    return "a security module forbids the mount; the kernel's log says which (sudo dmesg | tail)"


def _device_error() -> int:
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _why_no_device() -> str:
    code = _device_error()
    return os.strerror(code) if code else ""
