"""Two programs that live in a pod's world, one by sandbox and one by proxy: `outbound` asks them.

Each is one `interceptor run`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.place import Place, failures, parse
from e2e.intercept import installed
from e2e.process import Line, Process

INSIDE = Path(__file__).with_name("inside.py")
SHOW_PROXY = "import os, signal; print('PROXY', os.environ['ALL_PROXY'], flush=True); signal.pause()"


class Inside(Process):
    """COMMAND in a sandbox, doing what it is told; `pod` is the one whose world it lives in."""

    def __init__(self, place: Place) -> None:
        command = (sys.executable, str(INSIDE))
        super().__init__(_run(place, "namespace", *command), _environ(place), stdin=subprocess.PIPE)
        self._lg, self._kubectl = str(place.folder / "lg"), place.kubectl
        self._number = 0
        self.pod = str(json.loads(self._event("ready").text)["pod"])
        self._event("note", "COMMAND runs in a sandbox")

    def _event(self, name: str, text: str = "") -> Line:
        def wanted(line: Line) -> bool:
            return line.source == "stdout" and f'"{name}"' in line.text and text in line.text

        return self.wait_line(wanted, 60, f"event {name}")

    def _do(self, wanted: dict[str, object]) -> dict[str, object]:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(wanted) + "\n")
        self._child.stdin.flush()
        word = f"DID {self._number} "
        self._number += 1
        done = self.wait_line(lambda line: line.text.startswith(word), 120, f"answer to {wanted}")
        said: dict[str, object] = json.loads(done.text.removeprefix(word))
        return said

    def lg(self, host: str, *arguments: object) -> dict[str, float]:
        """The load generator, from in there."""
        said = self._do({"argv": [self._lg, *map(str, arguments)], "env": {"LGHOST": host}})
        return {**parse(str(said["stdout"])), **failures(str(said["stderr"]))}

    def names(self, name: str, seconds: float, *, cached: bool) -> float:
        """Microseconds of an answer to a question for that name."""
        return self._figures({"names": name, "seconds": seconds, "cached": cached})["p50us"]

    def names_in_pod(self, name: str, seconds: float) -> float:
        """The same by the same program in the pod itself, for names that nobody has kept."""
        wanted = json.dumps({"names": name, "seconds": seconds, "cached": False})
        said = self._kubectl("exec", "-i", self.pod, "--", "python3", "-c", INSIDE.read_text(), stdin=wanted)
        return float(json.loads(said.split(" ", 2)[2])["figures"]["p50us"])

    def read(self, path: str, size: int) -> float:
        """MB/s of reading a file of the pod."""
        return self._figures({"read": path, "size": size})["MBps"]

    def _figures(self, wanted: dict[str, object]) -> dict[str, float]:
        figures = self._do(wanted)["figures"]
        assert isinstance(figures, dict)
        return figures


class Beside(Process):
    """COMMAND on this machine; what it would use is its proxy."""

    def __init__(self, place: Place) -> None:
        super().__init__(_run(place, "proxy", sys.executable, "-c", SHOW_PROXY), _environ(place))
        said = self.wait_line(lambda line: line.text.startswith("PROXY "), 60, "address of the proxy")
        self._environ = {**os.environ, "LGSOCKS": said.text.rpartition(":")[2]}
        self._program = str(place.folder / "lg")

    def lg(self, host: str, *arguments: object) -> dict[str, float]:
        """The load generator, through the proxy."""
        with Process([self._program, *map(str, arguments)], {**self._environ, "LGHOST": host}) as load:
            load.wait(120)
            return {**parse(load.text("stdout")), **failures(load.text("stderr"))}


def _run(place: Place, sandbox: str, *command: str) -> list[str]:
    options = ("-n", place.namespace, "-o", "json", "--sandbox", sandbox)
    return [*installed(), "run", "deploy/target", *options, "--", *command]


def _environ(place: Place) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(place.cluster.kubeconfig)}
