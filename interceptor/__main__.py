"""The installed scripts `interceptor` and `kubectl-intercept` start here; the command line is `cli.main`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run `interceptor ...` and leave with its exit status."""
    from interceptor.cli.main import interceptor, start

    sys.exit(start(interceptor, sys.argv[1:], prog_name="interceptor"))


def kubectl_plugin() -> NoReturn:
    """Run `kubectl intercept ...`, which is `interceptor intercept ...` under kubectl's name."""
    from interceptor.cli.intercept import intercept
    from interceptor.cli.main import start

    sys.exit(start(intercept, sys.argv[1:], prog_name="kubectl intercept"))


if __name__ == "__main__":
    main()
