"""A program that was started with its standard files closed has them, and so has what it starts."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, os, sys
from interceptor.__main__ import hold_standard_files
hold_standard_files()
print("to nobody", file=sys.stderr)
found = {number: [os.get_inheritable(number), os.readlink(f"/proc/self/fd/{number}")] for number in (0, 1, 2)}
json.dump([found, sys.stdin.read()], open(sys.argv[1], "w"))
"""


def test_closed_ones_are_opened(tmp_path: Path) -> None:
    said = tmp_path / "said"
    words = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", SCRIPT, str(said)]
    with (tmp_path / "out").open("w") as out:
        subprocess.run(words, stdout=out, check=True, timeout=30)
    null = [True, "/dev/null"]
    assert json.loads(said.read_text()) == [{"0": null, "1": [True, str(tmp_path / "out")], "2": null}, ""]
