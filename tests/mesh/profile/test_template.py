"""Templates and patterns stand for each other."""

from __future__ import annotations

import re

import pytest

from interceptor.mesh.profile.template import example, regex_of, split, template_of, without_names


@pytest.mark.parametrize(
    ("template", "regex"),
    [
        ("/", "/"),
        ("/books", "/books"),
        ("/books/{id}", "/books/[^/]*"),
        ("/v1.0/books/{id}/pages/{page}", r"/v1\.0/books/[^/]*/pages/[^/]*"),
        ("/a+b/{x}.json", r"/a\+b/[^/]*\.json"),
    ],
)
def test_pattern_of_a_template(template: str, regex: str) -> None:
    assert regex_of(template) == regex
    assert re.fullmatch(regex, example(template))


@pytest.mark.parametrize("template", ["/", "/books", "/books/{id}", "/v1.0/a-b/{id}/pages/{id}"])
def test_there_and_back(template: str) -> None:
    assert template_of(regex_of(template)) == template


@pytest.mark.parametrize("pattern", ["/books/.*", "/(a|b)", "/books/[a-z]+", "/a/[^/]*x"])
def test_other_patterns_stay(pattern: str) -> None:
    assert template_of(pattern) is None


def test_names_of_parameters_do_not_matter() -> None:
    assert without_names("GET /books/{id}") == without_names("GET /books/{book}")
    assert split("get /books/{id}") == ("GET", "/books/{id}")
    assert split("books") is None
