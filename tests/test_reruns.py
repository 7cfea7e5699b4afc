"""A second try is a whole one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HANGS = """
import time
import pytest
tries = []

@pytest.mark.timeout(1)
def test_late_then_hanging():
    tries.append(1)
    time.sleep(0.6)
    if len(tries) == 1:
        raise AssertionError("the machine stood still")
    time.sleep(20)

@pytest.mark.timeout(1)
def test_late_twice():
    tries.append(1)
    time.sleep(0.6)
    assert len(tries) == 4
"""


def test_hanging_second_try_is_ended(tmp_path: Path) -> None:
    """By its own clock, which begins anew."""
    (tmp_path / "conftest.py").write_text("from tests.reruns import *\n")
    (tmp_path / "test_it.py").write_text(HANGS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reruns=1", f"--rootdir={tmp_path}"]
    done = subprocess.run(
        [*command, "-o", f"pythonpath={ROOT}", "-W", "ignore", "-c", "/dev/null", str(tmp_path)],
        text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1]
    assert "1 failed, 1 passed, 2 rerun" in last, done.stdout
    assert "Timeout" in done.stdout
