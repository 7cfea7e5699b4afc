"""The service: /slow takes a second, every second request of /flaky fails, anything else is answered at once."""

import http.server
import itertools
import os
import signal
import time
from typing import Any

from e2e.programs.answers import Answers

asked = itertools.count()


class Handler(Answers):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(1.0)
        failed = self.path == "/flaky" and next(asked) % 2 == 0
        self.answer(500 if failed else 200, "failed" if failed else "ok")


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a proxy that had waited long enough


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("", 8080), Handler).serve_forever()
