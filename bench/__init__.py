"""How fast the tunnel is on a real cluster, beside kubectl and the bare port-forward; `make bench` runs `bench.run`."""
