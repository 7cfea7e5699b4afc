"""The app of a meshed workload: says who asked it, as the proxy before it tells, and asks others by name when told to.

GET / answers {"word", "caller"}: `caller` is x-forwarded-client-cert, "" without. GET /ask/HOST adds {"asked": the answer of
http://HOST/}. As `get URL` it asks once itself, and prints the answer, or {"failed": why}.
"""

import http.server
import json
import signal
import sys
import threading
import urllib.request

PATIENCE = 5.0  # seconds: a connection that was led to a pod that is gone stays led there


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    word = ""

    def do_GET(self) -> None:
        said: dict[str, object] = {"word": self.word, "caller": self.headers.get("x-forwarded-client-cert", "")}
        kind, _, host = self.path.strip("/").partition("/")
        if kind == "ask":
            try:
                said["asked"] = json.loads(get(f"http://{host}/"))
            except (OSError, ValueError) as error:
                said["failed"] = str(error)
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(word: str, ports: list[int]) -> None:
    Handler.word = word
    servers = [http.server.ThreadingHTTPServer(("", port), Handler) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print("listening", server.server_address[1], flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def main() -> None:
    first, *more = sys.argv[1:]
    if first != "get":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before there are threads
        serve(first, [int(port) for port in more])
        return
    try:
        print(get(more[0]))
    except (OSError, ValueError) as error:
        print(json.dumps({"failed": str(error)}))


if __name__ == "__main__":
    main()
