"""Objects that are questions: may I, who am I, give me a token; called by `handlers`."""

from __future__ import annotations

from interceptor.devcluster import resources
from interceptor.devcluster.auth.rbac import Rbac
from interceptor.devcluster.auth.tokens import AUDIENCE, Tokens, User
from interceptor.devcluster.objects import Object, later, uid_of
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import bad_request, conflict, invalid, not_found
from interceptor.devcluster.store import Store

_SHORTEST, _LONGEST = 600, 1 << 32


class Reviews:
    """Answers review objects and token requests."""

    def __init__(self, store: Store, rbac: Rbac, tokens: Tokens) -> None:
        self._store = store
        self._rbac = rbac
        self._tokens = tokens

    def answer(self, resource: Resource, body: Object, user: User) -> Object:
        """Return the review with its status filled in."""
        result = {
            **body,
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": body.get("metadata") or {},
        }
        spec = body.get("spec") or {}
        if resource.kind == "SelfSubjectReview":
            result["status"] = {"userInfo": user.info()}
        elif resource.kind == "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise bad_request("no namespace on request")
            result["status"] = self._rules(user, spec["namespace"])
        elif resource.kind == "TokenReview":
            found = self._tokens.verify(spec.get("token", ""))
            result["status"] = {"authenticated": True, "user": found.info(), "audiences": [AUDIENCE]} if found else {}
        else:
            asked = user
            if resource.kind == "SubjectAccessReview":
                asked = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
            result["status"] = {"allowed": True} if self._allowed(asked, spec) else {"allowed": False}
        return result

    def _allowed(self, user: User, spec: Object) -> bool:
        if "nonResourceAttributes" in spec:
            asked = spec["nonResourceAttributes"]
            return self._rbac.allows_path(user, asked.get("verb", ""), asked.get("path", ""))
        asked = spec.get("resourceAttributes") or {}
        return self._rbac.allows(
            user,
            asked.get("verb", ""),
            asked.get("group", ""),
            asked.get("resource", ""),
            asked.get("subresource", ""),
            asked.get("namespace", ""),
            asked.get("name", ""),
        )

    def _rules(self, user: User, namespace: str) -> Object:
        rules = list(self._rbac.rules(user, namespace))
        return {
            "resourceRules": [
                {key: rule[key] for key in ("verbs", "apiGroups", "resources", "resourceNames") if key in rule}
                for rule in rules
                if "resources" in rule
            ],
            "nonResourceRules": [
                {key: rule[key] for key in ("verbs", "nonResourceURLs")} for rule in rules if "nonResourceURLs" in rule
            ],
            "incomplete": False,
        }

    def token(self, namespace: str, name: str, body: Object) -> Object:
        """Answer a TokenRequest for a ServiceAccount."""
        account = self._store.get(resources.SERVICEACCOUNTS, namespace, name)
        if account is None:
            raise not_found(resources.SERVICEACCOUNTS, name)
        spec = body.get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or 3600)
        if not _SHORTEST <= seconds <= _LONGEST:
            words = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            token_request = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
            raise invalid(token_request, "", [("FieldValueInvalid", "spec.expirationSeconds", words)])
        bound = self._bound(namespace, spec.get("boundObjectRef"))
        token = self._tokens.issue(account, seconds, bound, spec.get("audiences") or None)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": later(0)},
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": seconds, "boundObjectRef": None} | spec,
            "status": {"token": token, "expirationTimestamp": later(seconds)},
        }

    def _bound(self, namespace: str, ref: Object | None) -> Object | None:
        if not ref:
            return None
        resource = resources.by_kind(ref.get("apiVersion", "v1"), ref.get("kind", ""))
        if resource not in (resources.PODS, resources.SECRETS):
            raise bad_request(f"cannot bind token for serviceaccount to object of type {ref.get('kind')}")
        found = self._store.get(resource, namespace, ref["name"])
        if found is None:
            raise not_found(resource, ref["name"])
        if ref.get("uid") and ref["uid"] != uid_of(found):
            why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record"
            raise conflict(resource, ref["name"], f"{why}. The object might have been deleted and then recreated")
        return found
