"""Asks every route of the service again and again, through the proxy beside it."""

import http.client
import os
import signal
import time

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    for path in ("/slow", "/flaky", "/other"):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 15001, timeout=10)
            connection.request("GET", path, headers={"Host": "books"})
            connection.getresponse().read()
            connection.close()
        except OSError:
            pass  # the proxy is not there yet
    time.sleep(0.2)
