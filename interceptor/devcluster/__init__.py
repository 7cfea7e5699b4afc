"""A small embedded Kubernetes for the demo and the tests: `cluster.DevCluster`. What it can't do answers 501."""
