"""What a pod resolves a name to, asked as its own resolver would: search list, `ndots`, each answer; `run` calls it.

resolv.conf(5): a name with fewer dots than `ndots` is tried with each suffix of the search list first, then as it is; another
first as it is. The first answer counts. `/etc/hosts`, which the kubelet fills from hostAliases, comes before all of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from interceptor.errors import InterceptorError
from interceptor.kube import ExecFailed
from interceptor.session.debug.place import START_WITHIN, Place

_SERVERS = 3  # as many as the C library reads
_TYPES = ("A", "AAAA")
_FILES = ("sh", "-c", "cat /etc/resolv.conf; echo; echo ===; cat /etc/hosts")
_HEADER = re.compile(r"status: ([A-Z]+)")
_TIME = re.compile(r"^;; Query time: (\d+) msec", re.MULTILINE)
_SERVER = re.compile(r"^;; SERVER: ([^#\s]+)#(\d+)", re.MULTILINE)
_QUESTION = re.compile(r"^;(\S+)\s+IN\s+(A|AAAA)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Resolver:
    """A pod's `/etc/resolv.conf`."""

    servers: tuple[str, ...]
    search: tuple[str, ...]
    ndots: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One question to one server. `status` is DNS's word, or "no answer"."""

    name: str
    type: str
    status: str
    answers: tuple[str, ...]  # "echo.shop.svc.cluster.local. 5 IN A 10.96.3.4"
    ms: int | None
    server: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of a name in a pod. `addresses` are what the app gets; `through` is the name, or the file, that had them."""

    pod: str
    name: str
    resolver: Resolver
    asked: list[Answer]
    addresses: list[str] = field(default_factory=list)
    through: str = ""


async def resolve(place: Place, name: str) -> Resolution:
    """Ask in the pod."""
    try:
        files = await place.run(_FILES, within=START_WITHIN)
    except ExecFailed as error:
        raise place.lacks("sh", error) from error
    conf, _, hosts = files.stdout.decode(errors="replace").partition("\n===\n")
    resolver = read_conf(conf)
    listed = in_hosts(hosts, name)
    if listed:
        return Resolution(place.pod, name, resolver, [], listed, "/etc/hosts")
    asked: list[Answer] = []
    for candidate in candidates(name, resolver):
        answers = await _ask(place, candidate, resolver)
        asked += answers
        addresses = [address for one in answers for address in addresses_of(one)]
        if addresses:
            return Resolution(place.pod, name, resolver, asked, addresses, candidate)
    return Resolution(place.pod, name, resolver, asked)


async def _ask(place: Place, candidate: str, resolver: Resolver) -> list[Answer]:
    """Both types at once, of the servers in their order until one answers, as the pod's resolver does."""
    words = [word for type_ in _TYPES for word in (candidate, type_)]
    command = ["dig", "+nosearch", "+tries=1", "+time=2", "+nocookie", *words]
    try:
        done = await place.run(command, within=START_WITHIN)
    except ExecFailed as error:
        raise place.lacks("dig", error) from error
    found = read_dig(done.stdout.decode(errors="replace"))
    known = {(one.name, one.type): one for one in found}
    servers = ", ".join(resolver.servers)
    return [
        known.get((candidate, type_)) or Answer(candidate, type_, "no answer", (), None, servers) for type_ in _TYPES
    ]


def read_conf(text: str) -> Resolver:
    """Read a resolv.conf; of `search` and `domain` the last line counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            servers.append(rest[0])
        elif word in ("search", "domain"):
            search = tuple(suffix.rstrip(".") for suffix in rest if suffix != ".")
        elif word == "options":
            for option in rest:
                if option.startswith("ndots:") and option[6:].isdigit():
                    ndots = min(int(option[6:]), 15)
    return Resolver(tuple(servers[:_SERVERS]), search, ndots)


def candidates(name: str, resolver: Resolver) -> list[str]:
    """The full names that are tried, in their order."""
    if name.endswith("."):
        return [name]
    itself, searched = f"{name}.", [f"{name}.{suffix}." for suffix in resolver.search]
    return [itself, *searched] if name.count(".") >= resolver.ndots else [*searched, itself]


def in_hosts(text: str, name: str) -> list[str]:
    """The addresses that /etc/hosts has for it."""
    wanted = name.rstrip(".").lower()
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    return [words[0] for words in lines if wanted in (word.lower() for word in words[1:])]


def addresses_of(answer: Answer) -> list[str]:
    """Its addresses, behind whatever aliases."""
    rows = [line.split() for line in answer.answers]
    return [row[4] for row in rows if len(row) >= 5 and row[3] in _TYPES]


def read_dig(text: str) -> list[Answer]:
    """Read the answers to several questions, as dig prints them one after the other."""
    found = []
    for part in re.split(r"^;; Got answer:$", text, flags=re.MULTILINE)[1:]:
        status, question = _HEADER.search(part), _QUESTION.search(part)
        if status is None or question is None:
            continue
        _, _, section = part.partition(";; ANSWER SECTION:\n")
        lines = tuple(" ".join(line.split()) for line in section.partition("\n\n")[0].splitlines() if line.strip())
        took, server = _TIME.search(part), _SERVER.search(part)
        found.append(
            Answer(
                question[1],
                question[2],
                status[1],
                lines,
                int(took[1]) if took else None,
                f"{server[1]}:{server[2]}" if server else "",
            )
        )
    return found


def check_name(name: str) -> None:
    """Refuse what can't be a name, before a pod is asked: it becomes a word of dig's command line."""
    labels = name.rstrip(".").split(".")
    if not all(re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label) for label in labels):
        raise InterceptorError(f"{name!r} is no name that can be resolved")
