"""One kept request sent again to the local process, and what differs; `app` calls `replay` when the button is pressed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.mesh.traffic.masking import MASK
from interceptor.mesh.traffic.record import INBOUND, Record
from interceptor.mesh.traffic.recording import of_record
from interceptor.mesh.traffic.replay import Replayer

MOST_AT_ONCE = 4
MOST_SHOWN = 64 * 1024  # bytes of the answer's body

Object = dict[str, Any]


class Replays:
    """Sends a few at a time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def replay(self, record: Record, state: Mapping[str, Any]) -> Object:
        """Send it to where the session sends its like. Raises InterceptorError where that can't be."""
        if record["direction"] != INBOUND:
            raise InterceptorError("COMMAND sent this itself; only what callers ask can be sent again")
        local = (state.get("ports") or {}).get(str(record["port"]))
        if local is None:
            raise InterceptorError("there is no session that says where it goes to")
        recorded = of_record(record)
        if recorded.unplayable:
            raise InterceptorError(f"it can't be sent again: {recorded.unplayable}")
        async with self._places:
            replayer = Replayer(str(state["to"]), int(local))
            try:
                outcome = await replayer.send(recorded)
            finally:
                replayer.close()
        answer = outcome.answer
        told: Object = {
            "to": f"{state['to']}:{local}",
            "error": outcome.error,
            "differences": outcome.differences,
            "without": [*recorded.masked, *(["credentials in its query"] if MASK in recorded.path else [])],
            "recorded": {"status": recorded.status, "ms": recorded.latency},
            "answer": None,
        }
        if answer is not None:
            told["answer"] = {
                "status": answer.status,
                "ms": round(answer.latency, 3),
                "headers": answer.headers,
                "body": answer.body[:MOST_SHOWN].decode("utf-8", "replace"),
                "size": len(answer.body),
            }
        return told
