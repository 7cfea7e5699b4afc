"""Path templates and the regular expressions that stand for them: `/books/{id}` and `/books/[^/]*`, there and back. Pure.

Proxies read them as RE2 or Rust's regex and anchor them; the quoting is Linkerd's own, so that what `linkerd profile`
made is recognised.
"""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_PARAMETER = re.compile(r"\\\{[^\}]*\\\}")
ANY = "[^/]*"
_ONE_WORD = (ANY, "[^/]+", r"\d+", "[0-9]+")
_PLACE = "\0"
_VERBS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE"
_NAME = re.compile(rf"({_VERBS})\s+(/\S*)", re.IGNORECASE)


def quoted(text: str) -> str:
    """A text as a pattern that matches just it."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)


def regex_of(template: str) -> str:
    """The pattern of a path with parameters."""
    return _PARAMETER.sub(ANY, quoted(template))


def template_of(regex: str) -> str | None:
    """The path that a pattern of this form stands for, its parameters called id; None for any other pattern."""
    whole = regex.removeprefix("^").removesuffix("$")
    for pattern in _ONE_WORD:
        whole = whole.replace(f"/{pattern}", f"/{_PLACE}")
    words = []
    for part in whole.split("/"):
        if part == _PLACE:
            words.append("{id}")
            continue
        plain = re.sub(r"\\(.)", r"\1", part)
        if _PLACE in part or (quoted(plain) != part and re.escape(plain) != part):
            return None
        words.append(plain)
    return "/".join(words)


def is_template(path: str) -> bool:
    """Whether a path has parameters."""
    return "{" in path and "}" in path


def without_names(template: str) -> str:
    """A template that equals any other of the same form."""
    return re.sub(r"\{[^}]*\}", "{}", template)


def example(template: str) -> str:
    """A path that belongs to it."""
    return re.sub(r"\{[^}]*\}", "1", template)


def split(route: str) -> tuple[str, str] | None:
    """`GET /books/{id}` as method and path; None for a name of another form."""
    found = _NAME.fullmatch(route.strip())
    return (found[1].upper(), found[2]) if found else None
