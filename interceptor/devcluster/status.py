"""Failures as the API server words them; raised anywhere below `api.server`, which turns them into a Status."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interceptor.devcluster.objects import Object
    from interceptor.devcluster.resources import Resource


class ApiError(Exception):
    """One failed request: what becomes the response's code, Status body and headers."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> Object:
        """Return the Status object."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            body["details"] = self.details
        return body


def _details(resource: Resource, name: str) -> Object:
    details: Object = {"name": name, "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    """404 for one object."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', details=_details(resource, name))


def no_such_path() -> ApiError:
    """404 for a path no Kubernetes knows; the one answer that is text and not a Status."""
    return ApiError(404, "", "404 page not found")


def no_such_resource() -> ApiError:
    """404 for a resource that a known group hasn't."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str) -> ApiError:
    """409 for a name in use."""
    return ApiError(
        409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', details=_details(resource, name)
    )


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """409 for a precondition that doesn't hold."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(resource, name))


def wrong_identity(resource: Resource, name: str, what: str, asked: str, found: str, happened: str) -> ApiError:
    """409 for a deletion that names another uid or version than the object has; here the kind is named, not the resource."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {kind} "{name}": the {what} in the precondition ({asked}) does not match the '
        f"{what} in record ({found}). The object might have been {happened}",
        details=_details(resource, name) | {"kind": resource.kind},
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(resource: Resource, name: str, causes: list[tuple[str, str, str]]) -> ApiError:
    """422 with causes (reason, field, message), worded as field errors are."""
    spelled = [f"{field}: {message}" for _, field, message in causes]
    text = spelled[0] if len(spelled) == 1 else "[" + ", ".join(spelled) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = _details(resource, name) | {
        "kind": resource.kind,
        "causes": [{"reason": reason, "message": message, "field": field} for reason, field, message in causes],
    }
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details=details)


def unprocessable() -> ApiError:
    """422 for a JSON Patch that doesn't apply; the API server says no more than this."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def gone(asked: int, oldest: int) -> ApiError:
    """410: the watch asks for a past that is no longer kept."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def unauthorized() -> ApiError:
    """401."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """405."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported(what: str) -> ApiError:
    """501: real Kubernetes can do this, the dev cluster can't, and says so."""
    return ApiError(501, "NotImplemented", f"the dev cluster can't do that: {what}; use a real cluster for it")


def forbidden(resource_text: str, name: str, why: str, details: Object) -> ApiError:
    """403 as every authorization and admission failure is worded."""
    subject = f'{resource_text} "{name}"' if name else resource_text
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details=details)
