"""Names are tried as a pod's resolver tries them, and what dig prints is read."""

from __future__ import annotations

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.debug.dns import Resolver, addresses_of, candidates, check_name, in_hosts, read_conf, read_dig

CONF = """search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
nameserver fd00::a
options ndots:5 edns0
"""
DIG = """
; <<>> DiG 9.18 <<>> +nosearch echo.shop.svc.cluster.local. A
;; global options: +cmd
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1
;; flags: qr aa rd; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
;; QUESTION SECTION:
;echo.shop.svc.cluster.local.\tIN\tA

;; ANSWER SECTION:
echo.shop.svc.cluster.local. 5 IN\tCNAME\tother.
other. 5\tIN\tA\t10.96.3.4

;; Query time: 4 msec
;; SERVER: 10.96.0.10#53(10.96.0.10) (UDP)

;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 2

;; QUESTION SECTION:
;echo.shop.svc.cluster.local.\tIN\tAAAA

;; AUTHORITY SECTION:
cluster.local. 5 IN SOA ns.dns.cluster.local. x. 1 2 3 4 5

;; Query time: 0 msec
;; SERVER: fd00::a#53(fd00::a) (UDP)
"""


def test_conf_is_read() -> None:
    assert read_conf(CONF) == Resolver(
        ("10.96.0.10", "fd00::a"), ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5
    )
    assert read_conf("") == Resolver((), (), 1)


def test_few_dots_are_searched_first() -> None:
    resolver = Resolver((), ("a.b", "b"), 2)
    assert candidates("echo.x", resolver) == ["echo.x.a.b.", "echo.x.b.", "echo.x."]
    assert candidates("x.y.z", resolver) == ["x.y.z.", "x.y.z.a.b.", "x.y.z.b."]
    assert candidates("echo.", resolver) == ["echo."]


def test_hosts_file_counts() -> None:
    text = "# Kubernetes-managed hosts file.\n127.0.0.1 localhost\n10.0.0.7 DB.lan db # mine\n"
    assert in_hosts(text, "db.lan.") == ["10.0.0.7"]
    assert in_hosts(text, "mine") == []


def test_answers_are_read() -> None:
    first, second = read_dig(DIG)
    assert (first.name, first.type, first.status, first.ms) == ("echo.shop.svc.cluster.local.", "A", "NOERROR", 4)
    assert first.server == "10.96.0.10:53"
    assert addresses_of(first) == ["10.96.3.4"]
    assert (second.type, second.status, second.answers, second.server) == ("AAAA", "NXDOMAIN", (), "fd00::a:53")


def test_silence_is_no_answer() -> None:
    assert read_dig(";; communications error to 10.0.0.1#53: timed out\n;; no servers could be reached\n") == []


def test_options_are_no_names() -> None:
    check_name("_sip._tcp.example.org.")
    for text in ("-f/etc/passwd", "@10.0.0.1", "+short", "a b", "", ".", "a..b"):
        with pytest.raises(InterceptorError):
            check_name(text)
