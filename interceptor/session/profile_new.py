"""`profile new`: routes from a document, from requests as they pass or from what was counted, as objects to apply."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube.resources import HTTP_ROUTES, POLICY_HTTP_ROUTES, SERVICE_PROFILES
from interceptor.mesh.profile.build import NewRoute, http_routes, service_profile
from interceptor.mesh.profile.openapi import read_openapi
from interceptor.mesh.profile.proto import read_proto
from interceptor.mesh.profile.read import DOMAIN, InForce, read, service_named
from interceptor.mesh.profile.rows import title_of
from interceptor.mesh.profile.template import regex_of, split
from interceptor.mesh.traffic.record import ENDED, INBOUND
from interceptor.mesh.traffic.templates import Templates
from interceptor.session.access import namespace_of, open_cluster
from interceptor.session.events import Teller
from interceptor.session.options import Access
from interceptor.session.routes import RoutesOptions, measure
from interceptor.session.tap import NotIntercepted, TapOptions, follow

Object = dict[str, Any]

MOST_ROUTES = 200
FEW = 5  # names in a note
NOT_FOUND = 404
_DOCUMENTS = "or use --open-api or --proto"
PROFILE, ROUTE = "serviceprofile", "httproute"


@dataclass(frozen=True)
class ProfileNewOptions:
    """One `interceptor profile new`; exactly one of the four sources is given."""

    service: str
    open_api: str = ""  # path or URL-less name, with its text
    proto: str = ""
    text: str = ""
    tap: float = 0.0
    routes: bool = False
    window: float = 30.0
    kind: str = ""  # one of the two; "" for what is in force
    ignore_cluster: bool = False
    domain: str = ""
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Made:
    """What is printed, and what a person should know."""

    objects: list[Object]
    notes: list[str]


async def new_profile(options: ProfileNewOptions, teller: Teller) -> Made:
    """Make the objects; nothing is written anywhere. Raises InterceptorError."""
    found = None
    if not options.ignore_cluster:
        async with open_cluster(options.access) as cluster:
            with teller.busy(f"looking at {options.service}"):
                found = await read(cluster, cluster.namespace, options.service, domain=options.domain)
    elif options.tap or options.routes:
        raise InterceptorError("requests are seen in the cluster only", hint="leave --ignore-cluster out")
    routes, notes = await _routes(options, teller)
    if not routes:
        why = "; ".join(notes[1:]) or "no request was seen"
        raise InterceptorError(f"no routes for {options.service}: {why}", hint="send some meanwhile, or wait longer")
    if found is None:
        return _made(options, routes, notes, service_named(options.service), namespace_of(options.access))
    notes += _said(found, options)
    return _made(options, routes, notes, found.name, found.namespace, found)


async def _routes(options: ProfileNewOptions, teller: Teller) -> tuple[list[NewRoute], list[str]]:
    if options.open_api:
        return read_openapi(options.text, options.open_api)
    if options.proto:
        return read_proto(options.text, options.proto), []
    if options.tap:
        with teller.busy(f"watching the requests of {options.service}"):
            return await _tapped(options, teller)
    with teller.busy(f"counting the requests of {options.service}"):
        return await _counted(options)


async def _tapped(options: ProfileNewOptions, teller: Teller) -> tuple[list[NewRoute], list[str]]:
    """By the paths that pass within the time, identifiers made one."""
    merged = False

    def note_merge() -> None:
        nonlocal merged
        merged = True

    templates = Templates(note_merge)
    seen: dict[tuple[str, str], bool] = {}  # whether anything but 404 was answered
    number = 0
    try:
        async with (
            asyncio.timeout(options.tap),
            aclosing(follow(TapOptions(options.service, access=options.access), teller)) as records,
        ):
            async for record in records:
                method, path = str(record.get("method", "")), str(record.get("path", "")).partition("?")[0]
                if record.get("direction") != INBOUND or not method or not path.startswith("/"):
                    continue
                number += record.get("stage") == ENDED
                key = method, templates.name(path)
                seen[key] = seen.get(key, False) or record.get("status") != NOT_FOUND
                if len(seen) >= MOST_ROUTES:
                    break
    except TimeoutError:
        pass  # the time is up
    except NotIntercepted as error:
        raise NotIntercepted(error.message, hint=f"interceptor intercept {options.service}; {_DOCUMENTS}") from error
    if merged:  # names from before are of too many words
        before, seen = seen, {}
        for (method, path), found in before.items():
            key = method, templates.name(path)
            seen[key] = seen.get(key, False) or found
    return _made_of(seen, f"of {number} requests that passed within {options.tap:g} s")


async def _counted(options: ProfileNewOptions) -> tuple[list[NewRoute], list[str]]:
    """By what the sources of `routes` call the routes: paths where nobody named them yet."""
    tables = measure(RoutesOptions(options.service, window=options.window, access=options.access))
    try:
        table = await anext(tables)
    finally:
        await tables.aclose()
    known: dict[tuple[str, str], bool] = {}
    total = 0
    for route in table.routes:
        key = split(route.route)
        if route.total and key is not None:
            total += route.total
            known[key] = known.get(key, False) or set(route.statuses) != {str(NOT_FOUND)}
    if not known:
        raise InterceptorError(
            f"{table.source} tells no paths: it counts {options.service} as a whole",
            hint=f"intercept the workload and try again; {_DOCUMENTS}",
        )
    return _made_of(known, f"of {total} requests within {table.seconds:.0f} s, counted by {table.source}")


def _made_of(seen: dict[tuple[str, str], bool], what: str) -> tuple[list[NewRoute], list[str]]:
    """A route for each that was not only ever answered 404: those are of scanners and typing errors."""
    ordered = sorted(seen, key=lambda one: (one[1], one[0]))
    whole = [one for one in ordered if not one[1].endswith("/...")]
    wanted = [one for one in whole if seen[one]][:MOST_ROUTES]
    notes = [f"made {what}"]
    if lost := [" ".join(one) for one in whole if not seen[one]]:
        more = f" and {len(lost) - FEW} more" if len(lost) > FEW else ""
        notes.append(f"left out, as nothing but 404 was answered: {', '.join(lost[:FEW])}{more}")
    if deep := len(ordered) - len(whole):
        notes.append(f"left out, as their paths are deeper than a route can tell: {deep}")
    return [_route(method, path) for method, path in wanted], notes


def _route(method: str, path: str) -> NewRoute:
    return NewRoute(f"{method} {path}", method, path, regex_of(path))


def _said(found: InForce, options: ProfileNewOptions) -> list[str]:
    """What is there already, and which shadows which."""
    kind = options.kind or _in_force(found)
    notes = []
    if found.absent >= ({SERVICE_PROFILES} if kind == PROFILE else {HTTP_ROUTES, POLICY_HTTP_ROUTES}):
        name = "ServiceProfiles" if kind == PROFILE else "HTTPRoutes"
        notes.append(f"this cluster has no {name}: applying this needs a mesh that brings them")
    if found.profile is not None:
        name = title_of(SERVICE_PROFILES, found.profile)
        if kind == PROFILE:
            notes.append(f"{name} is there already: applying this replaces its routes")
        else:
            notes.append(f"{name} is in force, and disables every HTTPRoute of {found.title}: these too")
    elif found.routes:
        names = ", ".join(title_of(resource, item) for resource, item in found.routes)
        if kind == PROFILE:
            notes.append(f"this ServiceProfile will disable {names}")
        else:
            notes.append(f"in force now: {names}; of equal matches the older route wins")
    return notes


def _in_force(found: InForce) -> str:
    if found.profile is not None:
        return PROFILE
    if found.routes:
        return ROUTE
    return ROUTE if SERVICE_PROFILES in found.absent and HTTP_ROUTES not in found.absent else PROFILE


def _made(
    options: ProfileNewOptions,
    routes: list[NewRoute],
    notes: list[str],
    service: str,
    namespace: str,
    found: InForce | None = None,
) -> Made:
    kind = options.kind or (_in_force(found) if found is not None else PROFILE)
    if kind == PROFILE:
        domain = found.domain if found is not None else options.domain or DOMAIN
        return Made([service_profile(service, namespace, domain, routes)], notes)
    resource = HTTP_ROUTES
    if found is not None and HTTP_ROUTES in found.absent and POLICY_HTTP_ROUTES not in found.absent:
        resource = POLICY_HTTP_ROUTES
    ports = found.ports if found is not None else []
    return Made(http_routes(service, namespace, ports, routes, resource), notes)


def text_of(path: str, stdin: Any) -> str:
    """A document's text; `-` is standard input. Raises InterceptorError."""
    try:
        return str(stdin.read()) if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InterceptorError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InterceptorError(f"{path} is no text in UTF-8") from error
