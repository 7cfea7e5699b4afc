"""Every test begins in the same process, whoever started the run."""

from tests.inherited import forget_environment, forget_process


def pytest_configure() -> None:
    forget_process()
    forget_environment()
