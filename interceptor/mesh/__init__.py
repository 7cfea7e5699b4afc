"""What a service mesh says about a workload: checks, proxies, certificates; `session` calls it, it reads by `kube`."""
