"""The installed scripts `interceptor` and `kubectl-intercept` start here; the command line is `cli.main`."""

import os
import sys
from typing import NoReturn


def hold_standard_files() -> None:
    """Have 0, 1 and 2 open, for us and for COMMAND, also where they were closed (`<&-`, some daemons).

    Else our next socket takes the number: what anybody prints goes into it, and uvloop aborts when it is closed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  for good


def main() -> NoReturn:
    """Run `interceptor ...` and leave with its exit status."""
    hold_standard_files()
    from interceptor.cli.main import interceptor, start

    sys.exit(start(interceptor, sys.argv[1:], prog_name="interceptor"))


def kubectl_plugin() -> NoReturn:
    """Run `kubectl intercept ...`, which is `interceptor intercept ...` under kubectl's name."""
    hold_standard_files()
    from interceptor.cli.intercept import intercept
    from interceptor.cli.main import start

    sys.exit(start(intercept, sys.argv[1:], prog_name="kubectl intercept"))


if __name__ == "__main__":
    main()
