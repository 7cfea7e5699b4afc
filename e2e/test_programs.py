"""Programs in any language see the pod's network alike: nothing of theirs is bent, the kernel itself answers them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e import developer, manifests
from e2e.kubectl import Object
from e2e.scene import Scene

pytestmark = pytest.mark.timeout(420)  # their own bounds come first, also on a busy machine

# Says who called it.
PEER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 7000), Handler).serve_forever()
"""
# Each program: who it is to the peer, by the Service's name; whether a closed port refuses; whether an unknown name is
# known to be none. Its arguments: the peer's address, and the unknown name.
PYTHON = """
import errno, json, socket, sys, urllib.request
report = {"caller": urllib.request.urlopen("http://peer/", timeout=20).read().decode()}
try:
    socket.create_connection((sys.argv[1], 7001), 20)
except OSError as error:
    report["refused"] = error.errno == errno.ECONNREFUSED
try:
    socket.getaddrinfo(sys.argv[2], 80)
except socket.gaierror as error:
    report["unknown"] = error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
print("REPORT python " + json.dumps(report), flush=True)
"""
GO = """
package main
import ("bufio"; "errors"; "fmt"; "net"; "os"; "strings"; "syscall"; "time")
func main() {
	said := ""
	if peer, err := net.DialTimeout("tcp", "peer:80", 20*time.Second); err == nil {
		fmt.Fprintf(peer, "GET / HTTP/1.0\\r\\n\\r\\n")
		lines := bufio.NewScanner(peer)
		for lines.Scan() { said = strings.TrimSpace(lines.Text()) }
	}
	_, err := net.DialTimeout("tcp", os.Args[1]+":7001", 20*time.Second)
	refused := errors.Is(err, syscall.ECONNREFUSED)
	var none *net.DNSError
	_, err = net.LookupHost(os.Args[2])
	unknown := errors.As(err, &none) && none.IsNotFound
	fmt.Printf("REPORT go {\\"caller\\": \\"%s\\", \\"refused\\": %t, \\"unknown\\": %t}\\n", said, refused, unknown)
}
"""
JAVA = """
import java.net.*;
public class Probe {
    public static void main(String[] a) throws Exception {
        String said = new String(new URL("http://peer/").openStream().readAllBytes());
        boolean refused = false, unknown = false;
        try { new Socket(a[0], 7001); } catch (ConnectException e) { refused = e.getMessage().contains("refused"); }
        try { InetAddress.getByName(a[1]); } catch (UnknownHostException e) { unknown = true; }
        String report = "REPORT java {\\"caller\\": \\"%s\\", \\"refused\\": %b, \\"unknown\\": %b}%n";
        System.out.printf(report, said, refused, unknown);
    }
}
"""
# Its exit status 7: could not connect; 6: could not resolve.
CURL = """
caller=$(curl -s -m 20 http://peer/); curl -s -m 20 "http://$1:7001/"; refused=$?; curl -s -m 20 "http://$2/"; unknown=$?
[ $refused = 7 ] && refused=true; [ $unknown = 6 ] && unknown=true
echo "REPORT curl {\\"caller\\": \\"$caller\\", \\"refused\\": $refused, \\"unknown\\": $unknown}"
"""
IN_TURN = """
import json, subprocess, sys, time
for words in json.loads(sys.argv[1]):
    subprocess.run(words)
print("END", flush=True)
time.sleep(300)
"""


def deploy(scene: Scene) -> str:
    """The workload and its peer; the peer's own address, where a closed port refuses."""
    told = {"tcpSocket": {"port": 7000}, "periodSeconds": 1}
    peer = scene.container({"containerPort": 7000}, command=["python3", "-c", PEER], readinessProbe=told)
    scene.deploy(
        manifests.deployment(scene.container()), manifests.service(),
        manifests.deployment(peer, name="peer"), manifests.service("peer", 7000, app="peer"),
    )  # fmt: skip
    scene.reachable("peer:80")
    (pod,) = scene.kubectl.items("pods", "-l", "app=peer")
    return str(pod["status"]["podIP"])


def build(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """How to call each program that this machine has, and what it lacks."""
    programs, lacking = {"python": [developer.python(), "-c", PYTHON]}, []
    sources = {"probe.go": GO, "Probe.java": JAVA, "probe.sh": CURL}
    for name, text in sources.items():
        (folder / name).write_text(text)
    go, javac, java = (
        shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/go/bin") for name in ("go", "javac", "java")
    )
    if go is not None:
        environ = {**os.environ, "CGO_ENABLED": "0"}  # static: no C library that could be bent
        words = (go, "build", "-o", folder / "probe", folder / "probe.go")
        subprocess.run(words, env=environ, cwd=folder, check=True, capture_output=True)
        programs["go"] = [str(folder / "probe")]
    if javac is not None and java is not None:
        subprocess.run((javac, "-nowarn", folder / "Probe.java"), check=True, capture_output=True)
        programs["java"] = [java, "-cp", str(folder), "Probe"]
    if shutil.which("curl"):
        programs["curl"] = ["sh", str(folder / "probe.sh")]
    lacking = [name for name in ("go", "java", "curl") if name not in programs]
    for path in (folder, *folder.iterdir()):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.name == "probe" else 0o044))
    return programs, lacking


def test_languages_see_the_same(scene: Scene) -> None:
    """A static Go binary, Java, curl and Python, each in turn in one sandbox; and Python in the pod itself."""
    folder = scene.folder / "programs"
    folder.mkdir()
    programs, lacking = build(folder)
    words = (deploy(scene), f"no-such.{scene.namespace}.svc.cluster.local.")
    calls = json.dumps([[*program, *words] for program in programs.values()])
    running = developer.run(
        scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "--sandbox", "namespace",
        "--", developer.python(), "-c", IN_TURN, calls,
    )  # fmt: skip
    running.wait_line(lambda line: line.text == "END", 240, "end of all programs")
    reports: dict[str, Object] = {}
    for line in running.lines:
        if line.text.startswith("REPORT "):
            _, name, said = line.text.split(" ", 2)
            reports[name] = json.loads(said)
    pod = running.wait_for("ready")["pod"]
    there = scene.exec(pod, "python3", "-c", PYTHON, *words).split(" ", 2)[2]
    assert reports == dict.fromkeys(programs, json.loads(there)), running.transcript()
    assert reports["python"]["refused"]
    assert reports["python"]["unknown"]
    if lacking:
        scene.measured(f"not tried, because this machine lacks it: {', '.join(lacking)}")
    assert running.stop() == 130
