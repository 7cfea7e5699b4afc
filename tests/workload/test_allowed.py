"""What is missing is said at once, with the command that prints the Role which gives it."""

from interceptor.kube import resources
from interceptor.workload.allowed import MissingRights
from interceptor.workload.rights import Right


def test_missing_are_said_at_once() -> None:
    lacking = [
        Right("get", resources.PODS, "portforward"),
        Right("create", resources.PODS, "portforward"),
        Right("patch", resources.DEPLOYMENTS, name="orders"),
    ]
    error = MissingRights("shop", lacking, rbac="--for deploy/orders")
    assert error.message == "missing rights in namespace shop: get, create pods/portforward; patch deployments.apps"
    assert "interceptor rbac --for deploy/orders -n shop" in error.hint
