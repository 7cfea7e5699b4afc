"""The errors a person reads; every layer raises them, `cli` prints each as one line. Imports nothing."""


class InterceptorError(Exception):
    """Something failed: `message` says what and why, `hint` what to type next.

    `exit_status` is the command's: 1 for an error, 2 for wrong usage.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(InterceptorError):
    """What was typed can't be carried out as typed; nothing was looked at or changed."""

    exit_status = 2
