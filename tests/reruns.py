"""What failed once and not again, told whole at the end of a run; both `conftest`s call it.

Runs that ask for another try (`--reruns 1` in CI, every scenario in `e2e/`) go on after a moment in which a machine of
two busy processors stood still. The failure is a finding all the same: it is counted in the last line, and stands here.
"""

from __future__ import annotations

import pytest


def tell_first_failures(reporter: pytest.TerminalReporter) -> None:
    for report in reporter.getreports("rerun"):
        reporter.section(f"failed once: {report.nodeid}")
        reporter.line(report.longreprtext + report.capstdout)
