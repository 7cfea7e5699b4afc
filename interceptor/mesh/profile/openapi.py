"""Reads an OpenAPI or Swagger document as far as routes go; `session.profile_new` calls it, `build` makes objects of them.

As `linkerd profile --open-api` does: paths in order, verbs in the order of the alphabet, each answer that has a number
with its meaning, `x-linkerd-retryable` and `x-linkerd-timeout`. Swagger's basePath goes before every path; OpenAPI 3's
servers don't, since they tell what stands outside of the cluster: the caller says so.
"""

from __future__ import annotations

from typing import Any

import yaml

from interceptor.errors import InterceptorError
from interceptor.mesh.profile.build import NewRoute
from interceptor.mesh.profile.template import regex_of
from interceptor.mesh.profile.units import duration, seconds_of

Object = dict[str, Any]

LIMIT = 16 * 1024 * 1024
MOST_ROUTES = 2000
_VERBS = ("delete", "get", "head", "options", "patch", "post", "put")


def read_openapi(text: str, source: str) -> tuple[list[NewRoute], list[str]]:
    """The routes, and what a person should know. Raises InterceptorError."""
    document = _load(text, source)
    base, notes = _base(document)
    paths = document.get("paths")
    if not isinstance(paths, dict) or not paths:
        raise InterceptorError(f"{source} has no paths", hint="is it an OpenAPI document?")
    routes: list[NewRoute] = []
    for path in sorted(paths, key=str):
        operations = paths[path]
        if not isinstance(operations, dict) or not str(path).startswith("/"):
            continue  # x-anything
        whole = _join(base, str(path))
        routes += [
            _route(verb.upper(), whole, operations[verb], f"{source}: {verb.upper()} {whole}")
            for verb in _VERBS
            if isinstance(operations.get(verb), dict)
        ]
    if not routes:
        raise InterceptorError(f"{source} has paths, but no operations")
    if len(routes) > MOST_ROUTES:
        raise InterceptorError(f"{source} has {len(routes)} operations; {MOST_ROUTES} are the most that make a profile")
    return routes, notes


def _load(text: str, source: str) -> Object:
    if len(text) > LIMIT:
        raise InterceptorError(f"{source} has more than {LIMIT >> 20} MiB")
    try:
        # An alias may stand for an alias, and a kilobyte for a gigabyte: documents that are written down have none.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise InterceptorError(f"{source} uses YAML aliases", hint="write it out, or save it as JSON")
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where is not None else ""
        raise InterceptorError(f"{source} is neither JSON nor YAML{line}") from error
    if not isinstance(document, dict):
        raise InterceptorError(f"{source} is no OpenAPI document")
    return document


def _base(document: Object) -> tuple[str, list[str]]:
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        url = str(servers[0].get("url", ""))
        path = "/" + url.split("://", 1)[-1].partition("/")[2] if "://" in url else url
        if path.strip("/"):
            return "", [f"its server {url} has a path, which callers within the cluster are taken not to use"]
    return str(document.get("basePath") or ""), []


def _join(base: str, path: str) -> str:
    """One path; a slash at the end stays, as the two are different routes."""
    return "/" + "/".join(part for part in (base.strip("/"), path.lstrip("/")) if part)


def _route(method: str, path: str, operation: Object, where: str) -> NewRoute:
    timeout = operation.get("x-linkerd-timeout")
    if timeout is not None and (seconds := seconds_of(timeout)) is None:
        raise InterceptorError(f"{where}: x-linkerd-timeout {timeout!r} is no time", hint="write it as 300ms or 1s")
    responses = operation.get("responses")
    numbers = (str(key) for key in responses) if isinstance(responses, dict) else ()
    return NewRoute(
        f"{method} {path}",
        method,
        path,
        regex_of(path),
        tuple(sorted(int(number) for number in numbers if number.isdigit() and 100 <= int(number) <= 599)),
        retryable=operation.get("x-linkerd-retryable") is True,
        timeout=duration(seconds) if timeout is not None and seconds else "",
    )
