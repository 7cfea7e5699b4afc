"""What ss and conntrack print is read, as they printed it on a real node."""

from __future__ import annotations

from interceptor.cli.debug_tables import connection_lines
from interceptor.session.debug.connections import Connections, host_of, read_sockets, read_tracked

SS = """tcp   LISTEN 0      5            0.0.0.0:8080       0.0.0.0:*    users:(("python3",pid=7,fd=3))
tcp   ESTAB  12     0         10.244.0.5:8080    10.244.0.9:41022
tcp   LISTEN 0      128                *:47811            *:*
udp   UNCONN 0      0      127.0.0.53%lo:53         0.0.0.0:*
tcp   ESTAB  0      7      [::ffff:10.244.0.5]:8080 [::ffff:10.244.0.9]:41024
"""
CONNTRACK = (
    "ipv4     2 tcp      6 86399 ESTABLISHED src=10.244.0.5 dst=10.96.0.1 sport=40000 dport=443 "
    "src=10.200.0.2 dst=10.244.0.5 sport=6443 dport=40000 [ASSURED] mark=0 use=1\n"
    "ipv4     2 udp      17 20 src=10.244.0.5 dst=10.96.0.10 sport=5353 dport=53 "
    "src=10.96.0.10 dst=10.244.0.5 sport=53 dport=5353 mark=0 use=1\n"
)


def test_sockets_are_read() -> None:
    found = read_sockets("web", SS)
    assert [(one.protocol, one.state) for one in found] == [
        ("tcp", "LISTEN"), ("tcp", "ESTAB"), ("tcp", "LISTEN"), ("udp", "UNCONN"), ("tcp", "ESTAB"),
    ]  # fmt: skip
    assert (found[0].process, found[0].pid) == ("python3", 7)
    assert (found[1].received, found[1].pid) == (12, None)


def test_hosts_are_plain_addresses() -> None:
    assert [host_of(one.remote) for one in read_sockets("web", SS)][1::3] == ["10.244.0.9", "10.244.0.9"]
    assert host_of("127.0.0.53%lo:53") == "127.0.0.53"


def test_translations_are_read() -> None:
    first, second = read_tracked("web", CONNTRACK)
    assert (first.protocol, first.state) == ("tcp", "ESTABLISHED")
    assert (first.destination, first.actual) == ("10.96.0.1:443", "10.200.0.2:6443")
    assert second.destination == second.actual
    assert second.state == ""


def test_table_shows_what_is_translated() -> None:
    found = Connections(read_sockets("web", SS), read_tracked("web", CONNTRACK), ["seen only in part"])
    text = "\n".join(connection_lines(found))
    assert "python3 (7)" in text
    assert "10.200.0.2:6443" in text
    assert "10.96.0.10:53" not in text
    assert text.endswith("note: seen only in part")
    assert text.index("ESTAB") < text.index("LISTEN")
