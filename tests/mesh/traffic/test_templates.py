"""Paths become few routes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.mesh.traffic.templates import MOST_WORDS, Templates


def names(*paths: str) -> list[str]:
    templates = Templates(lambda: None)
    return [templates.name(path) for path in paths]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/books", "/books"),
        ("/books/17", "/books/{id}"),
        ("/books/17/", "/books/{id}/"),
        ("/books/17?full=1", "/books/{id}"),
        ("/books/3fa85f64-5717-4562-b3fc-2c963f66afa6/pages/2", "/books/{id}/pages/{id}"),
        ("/commits/6d242cb9dd", "/commits/{id}"),
        ("/days/2026-11-23", "/days/{id}"),
        ("/users/ana@example.com", "/users/{id}"),
        ("/s/eyJhbGciOiJIUzI1NiJ9", "/s/{id}"),
        ("/v1/books", "/v1/books"),
        ("/decade/facade", "/decade/facade"),
        ("/shop.v1.Books/List", "/shop.v1.Books/List"),
        ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/..."),
        ("*", "*"),
        ("", "-"),
    ],
)
def test_identifiers(path: str, template: str) -> None:
    assert names(path) == [template]


def test_too_many_words_are_one() -> None:
    told = []
    templates = Templates(lambda: told.append(1))
    words = [chr(97 + number // 26) + chr(97 + number % 26) for number in range(MOST_WORDS + 5)]
    for word in words[:MOST_WORDS]:
        assert templates.name(f"/books/{word}/pages") == f"/books/{word}/pages"
    assert not told
    assert templates.name("/books/zz/pages") == "/books/{id}/pages"
    assert told == [1]
    assert templates.name(f"/books/{words[0]}/pages") == "/books/{id}/pages"
    assert templates.name("/shelves/aa") == "/shelves/aa"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.sampled_from("/abc1"), max_size=8).map(lambda text: "/" + text), max_size=200))
def test_names_are_stable(paths: list[str]) -> None:
    templates = Templates(lambda: None)
    for path in paths:
        templates.name(path)
    for path in paths:
        assert templates.name(templates.name(path)) == templates.name(path)
