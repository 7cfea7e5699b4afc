"""Every test begins in the same process, whoever started the run."""

import pytest
from hypothesis import HealthCheck, settings

from tests.inherited import forget_environment, forget_process
from tests.reruns import pytest_runtest_setup, pytest_timeout_set_timer, tell_first_failures

__all__ = ["pytest_runtest_setup", "pytest_timeout_set_timer"]  # hooks


def pytest_configure() -> None:
    forget_process()
    forget_environment()
    # How long an example takes, or is made, says how busy the machine is, nothing else.
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tell_first_failures(terminalreporter)
