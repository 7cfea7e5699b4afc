"""What may be typed as a level."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import UsageError
from interceptor.mesh.loglevel.syntax import LEVELS, parse, split


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("debug", "debug"),
        ("WARNING", "warn"),
        ("warn,linkerd=debug", "warn,linkerd=debug"),
        (" warn , linkerd_proxy::outbound=trace ", "warn,linkerd_proxy::outbound=trace"),
        ("info,http:debug,router:warning", "info,http=debug,router=warn"),
        ("trace,[{headers}]=off", "trace,[{headers}]=off"),
        ("warn,linkerd[request{method,path}]=debug", "warn,linkerd[request{method,path}]=debug"),
        ("critical", "critical"),
        ("reset", "reset"),
    ],
)
def test_levels_are_read(typed: str, meant: str) -> None:
    assert str(parse(typed)) == meant


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "no log level"),
        ("debgu", "did you mean debug?"),
        ("warn,linkerd", "'linkerd' is no log level"),
        ("warn,linkerd=verbose", "'verbose' is no log level"),
        ("warn,,debug", "no log level"),
        ("warn,debug", "two levels for everything"),
        ("a=warn,a=debug", "two levels for the target a"),
        ("=debug", "can't be the name of a target"),
        ("a b=debug", "can't be the name of a target"),
        ("warn\n", "characters"),
        ("wärn", "characters"),
        ("a=b=debug", "can't be the name of a target"),
        ("x" * 5000 + "=debug", "too many"),
    ],
)
def test_others_are_refused(typed: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        parse(typed)
    assert "warn,linkerd=debug" in refused.value.hint


def test_commas_in_brackets_stay() -> None:
    assert list(split("a=b,c[d{e,f}]=g,h")) == ["a=b", "c[d{e,f}]=g", "h"]


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    try:
        wanted = parse(text)
    except UsageError:
        return
    assert str(parse(str(wanted))) == str(wanted)
    assert wanted.reset or all(one.level in (*LEVELS, "critical") for one in wanted.directives)
