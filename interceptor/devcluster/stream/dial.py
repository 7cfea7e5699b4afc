"""How a failed connection into a pod is worded; shared by both port-forward protocols."""

from __future__ import annotations

import os

from interceptor.devcluster.node.pod import PodWorker


def refusal(worker: PodWorker, port: int, error: OSError) -> str:
    """Word a failed connection as the kubelet does."""
    text = os.strerror(error.errno).lower() if error.errno else str(error)  # asyncio words it otherwise
    return (
        f"error forwarding port {port} to pod {worker.uid}, uid : failed to execute portforward in network namespace: "
        f"failed to connect to {worker.address}:{port} inside namespace: connect: {text}"
    )
