"""The gRPC health check as a probe: one HTTP/2 request by hand, as no gRPC library is a dependency; called by `probes`.

The server's header blocks are not decoded: the health status is in the DATA frame, and an error has no DATA frame.
"""

from __future__ import annotations

import asyncio
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 1, 4, 1, 8
_SERVING = 1
_NAMES = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    """HPACK: literal header without indexing, new name, no Huffman."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _request(host: str, port: int, service: str) -> bytes:
    headers = b"".join(
        _literal(*pair)
        for pair in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", f"{host}:{port}"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "kube-probe/1.34"),
        )
    )
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    body = b"\0" + struct.pack(">I", len(message)) + message
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0)
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, body)
    )


def _status(message: bytes) -> int:
    """Return HealthCheckResponse.status: field 1, a varint; absent means 0."""
    payload = message[5:]
    return payload[1] if payload[:1] == b"\x08" and len(payload) > 1 else 0


async def check(host: str, port: int, service: str) -> str | None:
    """Ask once; return what is wrong, None when the service serves."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_request(host, port, service))
        data = b""
        while True:
            head = await reader.readexactly(9)
            kind, flags = head[3], head[4]
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == _SETTINGS and not flags & _ACK:
                writer.write(_frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and not flags & _ACK:
                writer.write(_frame(_PING, _ACK, 0, payload))
            elif kind == _DATA:
                data += payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
            elif kind in (_RST, _GOAWAY):
                return "the gRPC server ended the connection"
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                break
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the gRPC server closed the connection") from error
    finally:
        writer.close()
    if not data:
        return "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
    status = _status(data)
    return None if status == _SERVING else f"service unhealthy (responded with {_NAMES.get(status, status)!r})"
