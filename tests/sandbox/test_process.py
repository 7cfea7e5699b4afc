"""COMMAND runs as if typed: its status is ours, its terminal too, and it never outlives us."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from interceptor.sandbox.process import CommandError, find_command, run_command

HERE = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("exit 0", 0), ("kill -9 $$", 137), ("kill $$", 143)])
async def test_status_is_shells(script: str, status: int) -> None:
    assert await run_command(["sh", "-c", script], HERE) == status


async def test_environment_is_exact(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert await run_command(["sh", "-c", 'env -0 > "$1"', "sh", str(out)], HERE | {"A": "b\nc"}) == 0
    seen = dict(pair.partition("=")[::2] for pair in out.read_text().split("\0") if pair)
    assert seen["A"] == "b\nc"
    assert seen.keys() - HERE.keys() <= {"A", "PWD", "SHLVL", "_", "OLDPWD"}


async def test_name_stays_as_typed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert await run_command(["sh", "-c", f"tr '\\0' '\\n' < /proc/$$/cmdline > {out}"], HERE) == 0
    assert out.read_text().startswith("sh\n-c\n")


async def test_group_stays_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"import os; open({str(out)!r}, 'w').write(str(os.getpgrp()))"
    assert await run_command([sys.executable, "-c", script], HERE) == 0
    assert out.read_text() == str(os.getpgrp())


@pytest.mark.parametrize(
    ("name", "mode", "status", "said"),
    [
        ("no-such-program", None, 127, "command not found"),
        ("./missing", None, 127, "no such file"),
        ("./plain", 0o644, 126, "chmod [+]x ./plain"),
        (".", None, 127, "command not found"),
        ("./", None, 126, "is a folder"),
        ("./noformat", 0o755, 126, "Exec format error.*#! line"),
    ],
)
def test_missing_program_is_told(name: str, mode: int | None, status: int, said: str, tmp_path: Path) -> None:
    if mode is not None:
        (tmp_path / name).write_bytes(b"\x00\x01")
        (tmp_path / name).chmod(mode)
    with contextlib.chdir(tmp_path), pytest.raises(CommandError, match=said) as caught:
        asyncio.run(run_command([name], HERE))
    assert caught.value.exit_status == status


def test_start_failures_have_a_next_step(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for argv, environ, said in (
        ([str(script)], HERE, "its #! line"),
        (["true"], HERE | {"LONG": "x" * 1_000_000}, "--env-exclude"),
    ):
        with pytest.raises(CommandError) as caught:
            asyncio.run(run_command(argv, environ))
        assert caught.value.exit_status == 126
        assert said in (caught.value.hint or "")


def test_found_program_is_named() -> None:
    assert Path(find_command(["sh"])).is_file()


async def cancelled(script: str, tmp_path: Path) -> Path:
    """Run a Python script until it has made `tmp_path/ready`, then cancel and wait for the end."""
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    ready = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(ready, readable.set)
    program = f"import os, signal, sys, time\nout = {str(tmp_path / 'out')!r}\n{script}\n"
    program += f"open({str(fifo)!r}, 'w').write(str(os.getpid()))\nwhile True: signal.pause()\n"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_command([sys.executable, "-c", program], HERE))
        await readable.wait()
        asyncio.get_running_loop().remove_reader(ready)
        pid = int(os.read(ready, 100))
        os.close(ready)
        if "stop me" in script:
            os.kill(pid, signal.SIGSTOP)
        task.cancel()
    assert task.cancelled()
    assert not psutil.pid_exists(pid)
    return tmp_path / "out"


async def test_cancel_asks_first(tmp_path: Path) -> None:
    script = "signal.signal(signal.SIGTERM, lambda *_: (open(out, 'w').write('bye'), sys.exit()))"
    assert (await cancelled(script, tmp_path)).read_text() == "bye"


async def test_stopped_process_hears_too(tmp_path: Path) -> None:
    script = "signal.signal(signal.SIGTERM, lambda *_: (open(out, 'w').write('bye'), sys.exit()))  # stop me"
    assert (await cancelled(script, tmp_path)).read_text() == "bye"


@pytest.mark.slow
async def test_deaf_process_is_killed(tmp_path: Path) -> None:
    await cancelled("signal.signal(signal.SIGTERM, signal.SIG_IGN)", tmp_path)


@pytest.mark.parametrize("factory", ["None", "__import__('uvloop').new_event_loop"])
def test_killed_client_takes_it_along(factory: str) -> None:
    program = f"""
import asyncio, os
from interceptor.sandbox.process import run_command
with asyncio.Runner(loop_factory={factory}) as runner:
    runner.run(run_command(["sh", "-c", "echo $$; exec sleep 1000"], dict(os.environ)))
"""
    if "uvloop" in factory:
        pytest.importorskip("uvloop")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        process = psutil.Process(int(client.stdout.readline()))
        client.kill()
        client.wait(20)
        psutil.wait_procs([process], timeout=20)
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
