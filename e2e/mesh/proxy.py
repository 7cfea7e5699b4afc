"""What a proxy answers on its admin port, in the standard library: runs in the pods of the tests, from a ConfigMap.

HTTP and TLS on one port, as the real one. PUT /test changes what is answered, DELETE /test makes it as it was.
"""

import http.server
import json
import os
import signal
import socket
import ssl
import sys
import tempfile
from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))
USUAL: dict[str, Any] = {"ready": 200, "without": [], "more": "", "certificate": "", "key": "", "metrics": 200}
now = dict(USUAL)


def own(name: str, folder: str = "/certificate") -> str:
    with open(os.path.join(folder, name)) as file:
        return file.read()


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(now["certificate"] or own("tls.crt"))
        file.write(now["key"] or own("tls.key"))
        file.flush()
        made.load_cert_chain(file.name)
    return made


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path in ("/ready", "/live"):
            status = now["ready"] if self.path == "/ready" else 200
            self.answer(status, "ready\n" if status == 200 else "not ready\n")
        elif self.path == "/metrics" and now["metrics"] == 200:
            lines = own("metrics.prom", FOLDER).splitlines(keepends=True)
            kept = [line for line in lines if not any(line.startswith(start) for start in now["without"])]
            self.answer(200, "".join(kept) + now["more"])
        else:
            self.answer(now["metrics"] if self.path == "/metrics" else 404, "")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        now.update(json.loads(body))
        self.answer(204, "")

    def do_DELETE(self) -> None:
        now.clear()
        now.update(USUAL)
        self.answer(204, "")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def finish_request(self, request: Any, client_address: Any) -> None:
        first = request.recv(1, socket.MSG_PEEK)
        if first == b"\x16":
            request = context().wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that only wanted to see the certificate


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = Server(("", int(sys.argv[1])), Handler)
sys.stdout.write("listening\n")
sys.stdout.flush()
server.serve_forever()
