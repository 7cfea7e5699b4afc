"""Messages of Linkerd viz's tap API in bytes, made by Go's own protobuf types: the oracle for ours.

Origin: viz_tap.proto, viz.proto (only what the tap needs of it) and net.proto of linkerd2, through protoc 31 and
protoc-gen-go v1.36.6; `hex` is google.golang.org/protobuf's deterministic Marshal, `json` its protojson. Each TapEvent but
the one with a binary trailer, which has another number there, was read and written again by the proxy's own type
(io.linkerd.proxy.tap.TapEvent of linkerd2-proxy-api v0.16.0): the bytes stayed the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Golden:
    name: str
    message: str
    data: bytes
    json: dict[str, Any]


def _load() -> dict[str, Golden]:
    rows = json.loads((Path(__file__).parent / "golden.json").read_text())
    return {row["name"]: Golden(row["name"], row["message"], bytes.fromhex(row["hex"]), row["json"]) for row in rows}


GOLDEN = _load()
EVENTS = [one for one in GOLDEN.values() if one.message.endswith("TapEvent")]


def framed(*names: str) -> bytes:
    """As the API sends them."""
    return b"".join(len(GOLDEN[name].data).to_bytes(4, "little") + GOLDEN[name].data for name in names)
