"""What an API server with the Gateway API refuses of an HTTPRoute, as far as we write it: facts of its published schema."""

from typing import Any

Object = dict[str, Any]

NAME = {"type": "string", "minLength": 1, "maxLength": 253}
GROUP = {
    "type": "string",
    "maxLength": 253,
    "pattern": r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}
PORT = {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}
DURATION = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
WORD_FOR_WORD = "(self.type in ['Exact','PathPrefix'])"


def closed(required: list[str], **properties: Object) -> Object:
    """An object with these fields and no others."""
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def listed(item: Object, most: int) -> Object:
    return {"type": "array", "maxItems": most, "items": item}


def _refused(part: str, test: str) -> Object:
    return {
        "message": f"must not {test.partition('(')[0]} {part}",
        "rule": f"{WORD_FOR_WORD} ? !self.value.{test} : true",
    }


def _path() -> Object:
    found = closed([], type={"type": "string", "enum": ["Exact", "PathPrefix", "RegularExpression"], "default": "PathPrefix"},
                   value={"type": "string", "maxLength": 1024, "default": "/"})  # fmt: skip
    characters = r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$"
    found["x-kubernetes-validations"] = [
        {"message": "must begin with /", "rule": f"{WORD_FOR_WORD} ? self.value.startsWith('/') : true"},
        *(_refused(part, f"contains('{part}')") for part in ("//", "/./", "/../", "%2f", "%2F", "#")),
        *(_refused(part, f"endsWith('{part}')") for part in ("/..", "/.")),
        {
            "message": "has characters that no path has",
            "rule": f'{WORD_FOR_WORD} ? self.value.matches(r"""{characters}""") : true',
        },
    ]
    return found


def http_route() -> Object:
    """For a CustomResourceDefinition."""
    parent = closed(["name"], group=GROUP, kind=NAME, name=NAME, namespace=NAME, sectionName=NAME, port=PORT)
    backend = closed(["name"], group=GROUP, kind=NAME, name=NAME, namespace=NAME, port=PORT, weight={"type": "integer"})
    match = closed([], path=_path(), method={"type": "string", "enum": METHODS})
    rule = closed(
        [], name=NAME, matches=listed(match, 64), backendRefs=listed(backend, 16),
        timeouts=closed([], request=DURATION, backendRequest=DURATION),
    )  # fmt: skip
    spec = closed([], parentRefs=listed(parent, 32), hostnames=listed(NAME, 16), rules=listed(rule, 16))
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return closed(
        [],
        apiVersion={"type": "string"},
        kind={"type": "string"},
        metadata={"type": "object"},
        spec=spec,
        status=status,
    )
