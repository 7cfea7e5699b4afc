"""A Linkerd proxy as far as its log level goes, in the standard library; it answers as a real one did (edge-26.8.1).

The text read is not the text set: `_access_log=off,` stands in front, directives are sorted, those with a span come twice.
Only loopback is answered. It writes a line for a request now and then, as its level allows: with its headers, unless the
guards are set. The level it is started with is LINKERD2_PROXY_LOG, its admin port 4191 or the first argument.
"""

import http.server
import os
import signal
import sys
import threading
import time

from e2e.programs.answers import Answers

LEVELS = ("off", "error", "warn", "info", "debug", "trace")
EVERY = 0.2
GUARDS = ("[{headers}]=off", "[{request}]=off")


class Filter:
    def __init__(self, text: str) -> None:
        self.parts = [part for part in text.split(",") if part]
        for part in self.parts:
            level = part.rpartition("=")[2]
            if level not in LEVELS:
                raise ValueError(part)

    def shown(self) -> str:
        plain = sorted(part for part in self.parts if "[" not in part)
        spans = sorted(part for part in self.parts if "[" in part)
        return ",".join(["_access_log=off", *plain, *spans, *spans])

    def level(self) -> str:
        """Of the proxy's own modules."""
        named = {part.partition("=")[0]: part.rpartition("=")[2] for part in self.parts if "[" not in part}
        usual = next((part for part in self.parts if "=" not in part), "error")
        return named.get("linkerd", usual)


now = Filter(os.environ.get("LINKERD2_PROXY_LOG", "warn"))


class Handler(Answers):
    def do_GET(self) -> None:
        if self.path in ("/ready", "/live"):
            self.answer(200, f"{self.path[1:]}\n")
        elif self.path != "/proxy-log-level":
            self.answer(404, "")
        elif self.is_near():
            self.answer(200, now.shown())

    def do_PUT(self) -> None:
        global now  # noqa: PLW0603
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.is_near():
            return
        try:
            now = Filter(body)
        except ValueError:
            self.answer(400, "invalid filter directive")
        else:
            self.answer(204, "")

    def do_POST(self) -> None:
        self.answer(405, "")

    def is_near(self) -> bool:
        if self.client_address[0] in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            return True
        self.answer(403, "Requests are only permitted from localhost.")
        return False


def write(began: float) -> None:
    """What a proxy under traffic writes."""
    while True:
        time.sleep(EVERY)
        level = LEVELS.index(now.level())
        after = f"[{time.monotonic() - began:9.6f}s]"
        if level >= LEVELS.index("debug"):
            guarded = all(guard in now.parts for guard in GUARDS)
            headers = "" if guarded else ' headers={"authorization": "Bearer SECRET"}'
            print(f"{after} DEBUG ThreadId(01) linkerd_proxy_http: client request method=GET{headers}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server = http.server.ThreadingHTTPServer(("", int(sys.argv[1]) if len(sys.argv) > 1 else 4191), Handler)
    print("listening", server.server_address[1], flush=True)
    threading.Thread(target=write, args=(time.monotonic(),), daemon=True).start()
    server.serve_forever()
