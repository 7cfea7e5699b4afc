"""What a stream can fail with, for those who open one (`sandbox.proxy`, `session`)."""

from interceptor.wire.reasons import Reason


class StreamRefused(Exception):
    """The far end did not connect the stream, or ended it; `reason` is for machines, `text` for people."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
