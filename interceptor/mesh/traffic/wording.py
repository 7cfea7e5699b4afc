"""One record in a few words: who asks, what came of it; `cli.tap_lines` prints them, the dash shows them. Pure."""

from __future__ import annotations

from interceptor.mesh.traffic.record import Record

_GRPC = (
    "OK", "Cancelled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


def who(record: Record) -> str:
    """Who asks: workload and namespace, else the pod, the identity a mesh proved, or the address."""
    caller = record.get("caller")
    if record["direction"] == "outbound":
        return f"-> {record['authority'] or record['peer']}"
    if caller:
        return f"{caller['workload'] or 'pod/' + caller['pod']}.{caller['namespace']}"
    identity = str(record.get("caller_id") or "")
    return ".".join(identity.split(".")[:2]) if identity else str(record["peer"])


def outcome(record: Record) -> str:
    """What came back, in a word."""
    if record.get("grpc_status") is not None:
        code = record["grpc_status"]
        return _GRPC[code] if code < len(_GRPC) else f"grpc {code}"
    if record["stage"] == "open":
        return "open" if not record["status"] else f"{record['status']} open"
    if record.get("cancelled"):
        return f"{record['status'] or ''} cut".strip()
    return str(record["status"]) if record["status"] else "none"


def notes(record: Record) -> list[str]:
    """What one must know beside the line."""
    found = []
    if record.get("cancelled"):
        found.append(f"cut by {record['cancelled']}")
    if record.get("unreadable"):
        found.append(f"not seen to its end: {record['unreadable']}")
    if record.get("ambiguities"):
        found.append("ambiguous, others may read it differently: " + "; ".join(record["ambiguities"]))
    if record.get("grpc_message"):
        found.append(str(record["grpc_message"]))
    return found
