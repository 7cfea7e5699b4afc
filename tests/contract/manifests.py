"""Objects the contract creates."""

from __future__ import annotations

from typing import Any

from tests.contract.api import IMAGE, Object

ECHO = (
    "import os,socketserver\n"
    "class H(socketserver.StreamRequestHandler):\n"
    "    def handle(self):\n"
    "        while data := self.request.recv(65536): self.request.sendall(data)\n"
    "socketserver.ThreadingTCPServer.allow_reuse_address = True\n"
    "socketserver.ThreadingTCPServer((os.environ.get('INTERCEPTOR_BIND', ''), 8080), H).serve_forever()\n"
)
HTTP = (
    "import os,http.server,signal\n"
    "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        code = 200 if self.path == '/' or os.path.exists('ready') else 503\n"
    "        self.send_response(code); self.end_headers(); self.wfile.write(os.environ.get('WORD', 'hello').encode())\n"
    "    def log_message(self, *a): pass\n"
    "http.server.ThreadingHTTPServer((os.environ.get('INTERCEPTOR_BIND', ''), 8080), H).serve_forever()\n"
)
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


def container(name: str = "app", command: list[str] | None = None, **more: Any) -> Object:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": command or SLEEP, **more}


def python(code: str, **more: Any) -> Object:
    return container(command=["python3", "-u", "-c", code], **more)


def pod(name: str, *containers: Object, **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [*containers], **spec}}


def deployment(name: str, *containers: Object, replicas: int = 1, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [*containers], **spec}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}
