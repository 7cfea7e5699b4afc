"""Which failures are worth another attempt, and when; asked by `transport` and `watch`.

What is retried, at most RETRIES times, after growing, jittered pauses or after what Retry-After says:
- any request answered 429, or 5xx with Retry-After: the server did not carry it out;
- 500, 502, 503, 504, or a connection that broke: only when repeating can do no harm (REPEATABLE).
A 401 is a matter of credentials and not of time, and a server that can't be reached at all is told at once: whoever can
wait knows better how long.
"""

from __future__ import annotations

import random

from interceptor.kube.errors import ApiError, Unreachable

RETRIES = 4
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
PASSING = frozenset({500, 502, 503, 504})


def pause_before_retry(error: ApiError | Unreachable, method: str, attempt: int) -> float | None:
    """How long to wait before the next attempt; None when there should be none."""
    if attempt == RETRIES:
        return None
    if isinstance(error, ApiError):
        if error.retry_after is not None and (error.status == 429 or error.status >= 500):
            return min(error.retry_after, LONGEST_PAUSE) + random.uniform(0, FIRST_PAUSE)  # noqa: S311
        if error.status == 429:
            return backoff(attempt)
    passing = error.broke if isinstance(error, Unreachable) else error.status in PASSING
    return backoff(attempt) if passing and method in REPEATABLE else None


def backoff(attempt: int) -> float:
    """A pause that doubles with each attempt, half of it by chance so that clients don't march in step."""
    return min(FIRST_PAUSE * float(1 << attempt), LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
