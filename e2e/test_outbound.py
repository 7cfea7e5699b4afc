"""Scenario 2, by proxy: what the command asks for by name is answered from the pod's place in the cluster."""

import json
import sys

from e2e import manifests
from e2e.scene import Scene

NAMES = ("{0}", "{0}.{1}", "{0}.{1}.svc", "{0}.{1}.svc.cluster.local")
ASK = """
import json, os, socket, sys, urllib.error, urllib.parse, urllib.request

def http(url):
    return urllib.request.urlopen(url, timeout=30).read().decode().split()[0:2]

def socks(host, port):
    proxy = urllib.parse.urlsplit(os.environ["ALL_PROXY"])
    with socket.create_connection((proxy.hostname, proxy.port), 30) as s:
        s.sendall(b"\\5\\1\\0")
        assert s.recv(2) == b"\\5\\0"
        s.sendall(b"\\5\\1\\0\\3" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"))
        reply = s.recv(10)
        if reply[1]:
            return "refused %d" % reply[1]
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).split(b"\\r\\n\\r\\n")[1].decode().split()[0]

names = json.loads(sys.argv[1])
seen = {"http": {}, "socks": {}}
for name in names:
    seen["http"][name] = http("http://%s/" % name)[0]
    seen["socks"][name] = socks(name, 80)
try:
    seen["unknown"] = http("http://no-such-service/")
except urllib.error.HTTPError as error:
    seen["unknown"] = error.code
seen["socks_unknown"] = socks("no-such-service", 80)
print("SEEN " + json.dumps(seen), flush=True)
"""


def test_services_answer_by_name(scene: Scene) -> None:
    apps = ("red", "green", "blue")
    scene.echo()
    scene.deploy(*(
        part
        for name in apps
        for part in (
            manifests.deployment({**scene.container(), "command": [*manifests.ECHO, "--word", name]}, name=name),
            manifests.service(name, app=name),
        )
    ))  # fmt: skip
    scene.reachable(*(f"{name}:80" for name in apps))
    names = {shape.format(app, scene.namespace): app for app in apps for shape in NAMES}
    with scene.unchanged():
        intercept = scene.intercept(
            "deploy/echo", "--sandbox", "proxy", "--", sys.executable, "-c", ASK, json.dumps(list(names))
        )
        shown = intercept.wait_line(lambda line: line.text.startswith("SEEN "), 90, "what the services said")
        assert intercept.wait(120) == 0
    seen = json.loads(shown.text.removeprefix("SEEN "))
    assert seen["http"] == names
    assert seen["socks"] == names
    assert seen["unknown"] in (502, 503, 504)
    assert str(seen["socks_unknown"]).startswith("refused")
