"""The sandbox's description survives the way to the child."""

from interceptor.sandbox.spec import File, Mount, MountKind, Network, Spec, dumps, loads


def test_round_trip() -> None:
    spec = Spec(
        argv=("python", "-c", "1"),
        executable="/usr/bin/python3",
        environ={"A": "b", "BYTES": "\udcff"},
        hostname="orders-1",
        mounts=(Mount(MountKind.FUSE, "/data", read_only=True, options="max_read=131072"),),
        files=(File("/etc/resolv.conf", "nameserver 10.96.0.10\n"),),
        network=Network(("10.244.1.5", "fd00::5"), (("TCP", 8080), ("UDP", 53))),
    )
    assert loads(dumps(spec)) == spec
