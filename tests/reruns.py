"""What failed once and not again, told whole at the end of a run, and bounded both times; both `conftest`s take these hooks.

Runs that ask for another try (`--reruns 1` in CI, every scenario in `e2e/`) go on after a moment in which a machine of
two busy processors stood still. The failure is a finding all the same: it is counted in the last line, and stands here.
"""

from __future__ import annotations

import pytest

CLOCK = pytest.StashKey[object]()


def tell_first_failures(reporter: pytest.TerminalReporter) -> None:
    for report in reporter.getreports("rerun"):
        reporter.section(f"failed once: {report.nodeid}")
        reporter.line(report.longreprtext + report.capstdout)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> None:
    """pytest-timeout sets a test's clock once, before its first try."""
    item.stash[CLOCK] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The next try has its whole time: with the first one's failure the clock is gone, and who hangs would hang for ever."""
    if getattr(item, "execution_count", 1) > 1 and CLOCK in item.stash:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=item.stash[CLOCK])
