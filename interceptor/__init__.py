"""Run a Kubernetes workload's traffic on a developer's machine; `cli` is where a command starts."""

__version__ = "0.1.0"
