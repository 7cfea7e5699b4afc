"""The debug container's body: kubectl's profiles, and a first process that ends when its client does. Pure.

`session.debug` puts it into a pod as an ephemeral container, or beside the others of a copy. What a person or an errand runs
is started in it with `exec`, so that nothing of its output is lost to a race with `attach`, or kept in the node's log files,
and its exit status is exact. The first process only waits for its standard input to end: the kubelet closes that one when the
client that attached goes, however it goes (`stdinOnce`), and everything in the container ends with its first process.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

from interceptor.workload.names import LETTERS

Object = dict[str, Any]

Profile = Literal["general", "netadmin", "sysadmin", "restricted"]
PROFILES: tuple[Profile, ...] = ("general", "netadmin", "sysadmin", "restricted")
NOBODY_COMES = 240  # seconds from its start to the greeting: its neighbours may still be pulling the image
_NOBODY = 65532  # a user id that no image gives a meaning

# `wait` is what a trap interrupts in every shell; `read` alone is not. Descriptor 3 because a shell gives what it starts
# in the background an empty standard input.
_HOLD = f"""trap 'exit 0' TERM HUP INT
exec 3<&0
(sleep {NOBODY_COMES}; kill -TERM $$) >/dev/null 2>&1 3<&- &
late=$!
(read -r hello && kill $late && cat) <&3 >/dev/null 2>&1 &
wait $!
exit 0
"""
GREETING = b"here\n"


def security_context(profile: Profile) -> Object:
    """The securityContext that `kubectl debug --profile` gives an ephemeral container."""
    match profile:
        case "general":
            return {"capabilities": {"add": ["SYS_PTRACE"]}}
        case "netadmin":
            return {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}
        case "sysadmin":
            return {"privileged": True}
        case "restricted":
            return {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            }


def fitted(profile: Profile, pod: Object, *, as_root: bool = False) -> Object:
    """The profile's context in this pod: whose user id it is where the profile leaves that open.

    `restricted` in an image of root's would be refused by the kubelet where the pod names no user: it gets one. `as_root` is
    for errands that capture: the capabilities of any user but root are void, so a pod that is another's is overruled.
    """
    context = security_context(profile)
    whole: Object = pod["spec"].get("securityContext") or {}
    if profile == "restricted":
        if whole.get("runAsUser") in (None, 0):
            context["runAsUser"] = _NOBODY
    elif as_root and (whole.get("runAsUser") or whole.get("runAsNonRoot")):
        context |= {"runAsUser": 0, "runAsNonRoot": False}
    return context


def new_name() -> str:
    """For one debug container; a pod never forgets the name of an ephemeral one."""
    return f"interceptor-debug-{''.join(secrets.choice(LETTERS) for _ in range(5))}"


def debug_container(name: str, image: str, context: Object) -> Object:
    """The container; an ephemeral one may carry `targetContainerName` beside this."""
    return {
        "name": name,
        "image": image,
        # Kubernetes expands $(NAME) in a command, and makes two dollars one.
        "command": ["sh", "-c", _HOLD.replace("$$", "$$$$")],
        "stdin": True,
        "stdinOnce": True,
        "securityContext": context,
        "terminationMessagePolicy": "File",
    }


def status_of(pod: Object, name: str) -> Object:
    """The status of one of a pod's containers, of whichever sort; empty where there is none yet."""
    status = pod.get("status") or {}
    listed = [
        item
        for key in ("containerStatuses", "ephemeralContainerStatuses", "initContainerStatuses")
        for item in status.get(key) or []
    ]
    return next((item for item in listed if item["name"] == name), {})


def names_of(pod: Object) -> list[str]:
    """Its containers that stay: those and the sidecars, not what runs once at the start."""
    spec = pod["spec"]
    sidecars = [item["name"] for item in spec.get("initContainers") or [] if item.get("restartPolicy") == "Always"]
    return [*(item["name"] for item in spec["containers"]), *sidecars]
