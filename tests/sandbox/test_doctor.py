"""What this machine gets is tried, and what to type follows from what forbids it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interceptor.sandbox.doctor import Facts, advise, examine, read_facts
from tests.sandbox import world


@pytest.mark.parametrize(
    ("facts", "step", "wanted"),
    [
        ({"settings": {"kernel.unprivileged_userns_clone": "0"}}, "namespaces", "-w kernel.unprivileged_userns_clone=1"),
        ({"settings": {"user.max_user_namespaces": "0"}}, "namespaces", "sysctl -w user.max_user_namespaces=15000"),
        ({"settings": {"kernel.apparmor_restrict_unprivileged_userns": "1"}}, "namespaces", "apparmor_parser -r"),
        ({"settings": {"kernel.apparmor_restrict_unprivileged_userns": "1"}, "container": True}, "network", "docker run"),
        ({"filtered": True}, "namespaces", "--security-opt seccomp=unconfined"),
        ({"kernel": "4.4.0-19041-Microsoft"}, "namespaces", "wsl --set-version"),
        ({"chroot": True, "container": True}, "namespaces", "pivot_root"),
        ({}, "network", "nft_tproxy nft_socket nft_reject"),
        ({}, "namespaces", "CONFIG_USER_NS"),
    ],
)  # fmt: skip
def test_advice_fits(facts: dict[str, object], step: str, wanted: str) -> None:
    assert wanted in advise(step, Facts(**facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kernel", "number"),
    [("4.4.0-19041-Microsoft", 1), ("5.15.90.1-microsoft-standard-WSL2", 2), ("6.8.0-31-generic", 0)],
)
def test_windows_is_known(kernel: str, number: int) -> None:
    assert Facts(kernel=kernel).wsl == number


def test_facts_are_read(tmp_path: Path) -> None:
    for path, text in (
        ("proc/sys/kernel/osrelease", "6.8.0-31-generic\n"),
        ("proc/sys/user/max_user_namespaces", "0\n"),
        ("proc/self/status", "Name:\tcat\nSeccomp:\t2\n"),
        (".dockerenv", ""),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    facts = read_facts(tmp_path)
    assert facts.setting("user.max_user_namespaces") == "0"
    assert facts.setting("kernel.unprivileged_userns_clone") == ""
    assert facts.filtered
    assert facts.container


async def test_other_systems_get_the_proxy() -> None:
    report = await examine(Facts(system="Darwin"))
    assert (report.mode, report.volumes, report.best) == ("proxy", "folder", False)
    assert report.findings[0].hint


@pytest.mark.slow
async def test_trying_tells_the_truth() -> None:
    """Whatever this machine allows, each finding that lacks says what to type."""
    report = await examine()
    assert report.best == all(finding.state == "good" for finding in report.findings)
    assert all(finding.hint for finding in report.findings if finding.state == "lacking")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("restriction", "hint"),
    [
        ("max_user_namespaces", "sudo sysctl -w user.max_user_namespaces=15000"),
        ("max_net_namespaces", "sudo sysctl -w user.max_net_namespaces=15000"),
        ("max_mnt_namespaces", "sudo sysctl -w user.max_mnt_namespaces=15000"),
        ("seccomp", "docker run --security-opt seccomp=unconfined"),
        ("chroot", "pivot_root"),
    ],
)
def test_forbidden_namespaces_are_told(restriction: str, hint: str) -> None:
    """Under the kernel's own restrictions: the proxy, said in the words that mend it."""
    words = world.module("tests.sandbox.restricted", restriction, *world.module("interceptor", "doctor", "-o", "json"))
    with world.start_program(words) as process:
        out, err = process.communicate(timeout=50)
    assert process.returncode == 1, err
    report = json.loads(out)
    assert (report["mode"], report["volumes"]) == ("proxy", "folder")
    (lacking,) = [one for one in report["findings"] if one["state"] == "lacking"]
    assert lacking["name"] == "namespaces"
    assert hint in lacking["hint"]


@pytest.mark.slow
def test_read_only_settings_are_told() -> None:
    """As Docker mounts /proc/sys where system calls are not filtered: a sandbox, without ports below 1024."""
    words = world.module("tests.sandbox.restricted", "settings", *world.module("interceptor", "doctor", "-o", "json"))
    with world.start_program(words) as process:
        out, err = process.communicate(timeout=50)
    assert process.returncode == 1, err
    report = json.loads(out)
    assert report["mode"] == "namespace"
    assert "below 1024" in next(one["text"] for one in report["findings"] if one["name"] == "ports")
