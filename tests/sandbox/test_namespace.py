"""COMMAND in a sandbox, made by an unprivileged user: who it is, what it sees, and that nothing of it stays."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.sandbox.world import NOBODY, program, run, start, start_program

pytestmark = pytest.mark.slow  # an agent and a sandbox each

SEEN = "import json, os, socket; print(json.dumps([os.getuid(), os.getgid(), socket.gethostname(), os.getcwd()]))"


def test_user_and_folder_stay() -> None:
    ran = run("/usr/bin/env", "python3", "-c", SEEN)
    uid, gid = (NOBODY, NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())
    assert json.loads(ran.stdout) == [uid, gid, "orders-7d4f", "/tmp"], ran.stderr


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)])
def test_status_is_shells(script: str, status: int) -> None:
    assert run("sh", "-c", script).returncode == status


def test_missing_interpreter_is_told(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    ran = run(str(script))
    assert "No such file" in ran.stderr


def test_no_capability_is_left() -> None:
    ran = run("sh", "-c", "grep CapEff /proc/self/status")
    assert ran.stdout.split() == ["CapEff:", "0000000000000000"], ran.stderr


def test_signals_are_as_before() -> None:
    """Those that whoever runs the tests ignores are ignored in there too."""
    asked = ("sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status")
    here = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert run(*asked).stdout == here.stdout


def test_limits_pass() -> None:
    ran = run("sh", "-c", "ulimit -n; umask")
    here = subprocess.run(["sh", "-c", "ulimit -n; umask"], capture_output=True, text=True, check=True)
    assert ran.stdout == here.stdout, ran.stderr


def open_to_all(folder: Path) -> None:
    for one, mode in ((folder.parent.parent, 0o755), (folder.parent, 0o755), (folder, 0o777)):
        one.chmod(mode)


@pytest.mark.parametrize("spoil", ["rmdir ../in", "chmod 0 .."])
def test_lost_folder_stays(spoil: str, tmp_path: Path) -> None:
    """One that was deleted, or that lies where its user may not go, is COMMAND's like any shell's program's."""
    open_to_all(tmp_path)
    prepare = f'cd {tmp_path} && mkdir -p at/in && cd at/in && {spoil} && exec "$@"'
    command = program("sh", "-c", "readlink /proc/self/cwd; echo up")
    with start_program(["sh", "-c", prepare, "sh", *command]) as process:
        out, err = process.communicate(timeout=50)
    (tmp_path / "at").chmod(0o755)
    assert out.splitlines() in ([f"{tmp_path}/at/in", "up"], [f"{tmp_path}/at/in (deleted)", "up"]), err


def test_lost_folder_is_no_other(tmp_path: Path) -> None:
    """Where the sandbox has a root of its own, nobody gets to a deleted folder: better no COMMAND than one elsewhere."""
    open_to_all(tmp_path)
    prepare = f'cd {tmp_path} && mkdir at && cd at && rmdir ../at && exec "$@"'
    command = program("pwd", mounts=[["tmpfs", "/no-such-folder", "", False]])
    with start_program(["sh", "-c", prepare, "sh", *command]) as process:
        out, err = process.communicate(timeout=50)
    assert not out
    assert "COMMAND can't start in the working directory, which was deleted" in err


def test_missing_folder_is_made() -> None:
    """Below a folder of the machine that has it not, and whatever else is in that folder stays."""
    script = (
        "echo x > /no-such-folder/deep/file && cat /no-such-folder/deep/file && ls -d /usr/bin /tmp && ls /etc/hosts"
    )
    ran = run("sh", "-c", script, mounts=[["tmpfs", "/no-such-folder/deep", "", False]])
    assert ran.stdout.split() == ["x", "/tmp", "/usr/bin", "/etc/hosts"], ran.stderr
    assert not Path("/no-such-folder").exists()


def test_large_folder_is_replaced(tmp_path: Path) -> None:
    """With more in it than the shell lets a program have files; COMMAND has that limit still."""
    open_to_all(tmp_path)
    for number in range(150):
        (tmp_path / str(number)).touch()
    command = program(
        "sh", "-c", f"ls {tmp_path} | wc -l; ulimit -Sn", mounts=[["tmpfs", f"{tmp_path}/new", "", False]]
    )
    with start_program(["sh", "-c", 'ulimit -Sn 120; exec "$@"', "sh", *command]) as process:
        out, err = process.communicate(timeout=50)
    assert out.split() == ["151", "120"], err


def test_read_only_is_kept() -> None:
    ran = run("sh", "-c", "touch /opt/given/x; ls -d /opt/given/bin", mounts=[["bind", "/opt/given", "/usr", True]])
    assert "Read-only file system" in ran.stderr
    assert ran.stdout == "/opt/given/bin\n"


def test_file_is_replaced() -> None:
    before = Path("/etc/hosts").read_text()
    ran = run("cat", "/etc/hosts", hosts="192.0.2.1 here\n")
    assert ran.stdout == "192.0.2.1 here\n", ran.stderr
    assert Path("/etc/hosts").read_text() == before


def sleeping(mark: str) -> list[psutil.Process]:
    """The processes of a sandbox that have `mark` among their words."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("who", ["client", "first", "second", "command"])
def test_nothing_outlives_anybody(who: str) -> None:
    """COMMAND, and a child that left its session, end whichever process is killed."""
    mark = f"{os.getpid()}.{time.monotonic_ns()}"
    with start("sh", "-c", f"setsid sleep 1234 {mark} & echo up; exec sleep 1234 {mark}") as client:
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == "up\n"
            until(lambda: len(sleeping(mark)) == 2)
            command = next(process for process in sleeping(mark) if os.getsid(process.pid) == os.getsid(0))
            second = command.parent()
            assert second is not None
            first = second.parent()
            assert first is not None
            victims = {"client": client.pid, "first": first.pid, "second": second.pid, "command": command.pid}
            os.kill(victims[who], signal.SIGKILL)
            client.communicate(timeout=60)
            until(lambda: not sleeping(mark))
        finally:
            client.kill()
            for process in sleeping(mark):
                process.kill()


def machine() -> dict[str, str]:
    files = ("/proc/net/route", "/proc/net/if_inet6", "/proc/net/ipv6_route", "/etc/resolv.conf", "/etc/hosts")
    found = {name: Path(name).read_text() for name in files if Path(name).exists()}
    # Without the counts of references and uses, which any connection changes; mounts that others make are their own.
    routes = (line.split() for line in found.get("/proc/net/ipv6_route", "").splitlines())
    found["/proc/net/ipv6_route"] = "\n".join(" ".join([*columns[:6], *columns[8:]]) for columns in routes)
    ours = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "no-such-folder" in line]
    return {**found, "name": os.uname().nodename, "mounts": "".join(ours)}


def test_machine_is_unchanged() -> None:
    """Others change it too, a cluster's pods that come and go: but not each of five times."""
    for _ in range(5):
        before = machine()
        with start("sh", "-c", "echo up; read x", mounts=[["tmpfs", "/no-such-folder", "", False]]) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "up\n"
            during = machine()
            client.communicate("go\n", timeout=60)
        after = machine()
        if during == before == after:
            return
    assert during == before
    assert after == before
