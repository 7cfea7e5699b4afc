"""One intercept from look to undo: `cli` calls `intercept`, which uses workload, sandbox, tunnel and kube."""
