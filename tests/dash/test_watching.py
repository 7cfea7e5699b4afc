"""What the page is told of a path that could not be probed."""

from __future__ import annotations

import pytest

from interceptor.dash.watching import _failure
from interceptor.errors import InterceptorError

ERROR = InterceptorError("the API server does not answer", hint="is the cluster running?")


@pytest.mark.parametrize("errors", [[ERROR], [ExceptionGroup("inner", [ERROR])], [ERROR, InterceptorError("other")]])
def test_first_failure_is_told(errors: list[Exception]) -> None:
    told = _failure(ExceptionGroup("outer", errors))  # type: ignore[arg-type]
    assert told == {"hops": [], "error": ERROR.message, "hint": ERROR.hint}
