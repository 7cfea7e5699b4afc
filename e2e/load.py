"""What callers in the cluster saw: reads the log of a load pod as it grows; the scenarios judge by it."""

import json
import re
import time
from dataclasses import dataclass
from itertools import groupby
from typing import Self

from e2e import manifests
from e2e.kubectl import Kubectl
from e2e.process import Line, Process

ROW, ROW_LASTS = 20, 1.0  # answers, and seconds
NUMBER = re.compile(r"^(\d+\.\d+) (\d+\.\d+) (\d+) (.*)$")


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of the load pod: when it started, how long it took, who answered (or why nobody did)."""

    at: float
    ms: float
    status: int
    text: str

    @property
    def word(self) -> str:
        return self.text.split(" ")[0] if self.status == 200 else f"{self.status} {self.text}"

    @property
    def end(self) -> float:
        return self.at + self.ms / 1000


def answer(line: Line) -> Answer | None:
    found = NUMBER.match(line.text)
    return Answer(float(found[1]), float(found[2]), int(found[3]), found[4]) if found else None


class Load(Process):
    """A load pod and the stream of its log."""

    def __init__(self, kubectl: Kubectl, image: str, url: str, rate: float, name: str = "load") -> None:
        self.kubectl, self.name, self.rate = kubectl, name, rate
        self._answers: list[Answer] = []
        self._parsed = 0  # lines
        kubectl.apply(manifests.load(image, url, rate, name))
        kubectl.ready(f"pod/{name}")
        super().__init__([*kubectl.argv, "logs", "-f", name])

    @property
    def answers(self) -> list[Answer]:
        while self._parsed < len(self.lines):
            line, self._parsed = self.lines[self._parsed], self._parsed + 1
            if found := answer(line):
                self._answers.append(found)
        return list(self._answers)

    def wait_for(self, word: str, *, after: float = 0.0, timeout: float = 90) -> Answer:
        """The first answer by `word` to a request that started later than `after`."""

        def wanted(line: Line) -> bool:
            found = answer(line)
            return found is not None and found.word == word and found.at > after

        found = answer(self.wait_line(wanted, timeout, f"answer {word!r} after {after:.2f}"))
        assert found
        return found

    def wait_steady(self, word: str, *, timeout: float = 90) -> Answer:
        """The first of the next answers in a row by `word`, so many that nobody else answers any more.

        While a node's proxy is late, its rules lead to pods of before and after, and who answers is a throw of dice: some
        in a row would be chance.
        """
        answers = max(ROW, int(self.rate * ROW_LASTS))

        def row() -> Answer | None:
            newest = sorted(self.answers, key=lambda a: a.at)[-answers:]
            return newest[0] if len(newest) == answers and all(a.word == word for a in newest) else None

        return self.wait_until(row, timeout, f"row of answers {word!r}")

    def run_for(self, seconds: float) -> None:
        """Let it call for a while."""
        time.sleep(seconds)

    def finish(self) -> "Report":
        """End the pod's program and return all it saw; every request it started is in there.

        Only what came before the first answer is left out: there the node's proxy had not heard of the Service yet.
        """
        self.kubectl("exec", self.name, "--", "kill", "-TERM", "1")
        said = self.wait_line(lambda line: line.text.startswith("end "), 90, "end of the load pod")
        found = sorted(self.answers, key=lambda a: a.at)
        assert len(found) == int(said.text.split()[1]), "the log of the load pod has holes"
        first = next((n for n, one in enumerate(found) if one.status == 200), 0)
        return Report(found[first:])


class Report(list[Answer]):
    """Answers in the order their requests started."""

    @property
    def failed(self) -> list[Answer]:
        return [a for a in self if a.status != 200]

    def sequence(self) -> list[tuple[str, int]]:
        """Who answered, as runs: [("CLUSTER", 120), ("LOCAL", 88), ...]."""
        return [(word, len(list(run))) for word, run in groupby(self, key=lambda a: a.word)]

    def between(self, start: float, end: float) -> Self:
        return type(self)(a for a in self if start <= a.at and a.end <= end)

    def words(self) -> set[str]:
        return {a.word for a in self}

    def told(self) -> str:
        """For messages: the runs and the slowest."""
        slowest = max((a.ms for a in self), default=0.0)
        return f"{json.dumps(self.sequence())} slowest {slowest:.0f} ms"
