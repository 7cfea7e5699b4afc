"""`interceptor rbac`: prints what an admin applies so that others may intercept; asks no cluster where it needn't."""

import json
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.options import access_options, complete_target, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.workload.kinds import WorkloadRef
    from interceptor.workload.role import Subject

Object = dict[str, Any]


@click.command(
    short_help="Print the Role that our commands need.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--for",
    "target",
    metavar="TARGET",
    shell_complete=complete_target,
    help="Only for this workload, by name where RBAC can.",
)
@click.option("--namespace-only", is_flag=True, help="Without the ClusterRole that lets `list -A` read everywhere.")
@click.option("--no-guard", "guard", is_flag=True, flag_value=False, default=True,
              help="Without the right to create Roles: agents then can't restore by themselves.")  # fmt: skip
@click.option("--debug", is_flag=True, help="With --for: what `debug` of it needs too.")
@click.option("--log-level", is_flag=True, help="With --for: what `log-level` of it needs too.")
@click.option("--tap", is_flag=True, help="With --for: what `tap` of it needs where Linkerd's viz shows its requests.")
@click.option("--user", "users", metavar="NAME", multiple=True, help="Bind it to this user. Several allowed.")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="Bind it to this group.")
@click.option("--service-account", "accounts", metavar="[NAMESPACE:]NAME", multiple=True, help="Bind it to this one.")
@access_options
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Format.")
@verbose_option
def rbac(
    target: str | None,
    namespace_only: bool,
    guard: bool,
    debug: bool,
    log_level: bool,
    tap: bool,
    users: tuple[str, ...],
    groups: tuple[str, ...],
    accounts: tuple[str, ...],
    output: str,
    **access: Any,
) -> int:
    """Print the exact Role that our commands need in the cluster, for an admin to read and apply.

    Everything but `-A` needs rights in one namespace only. What RBAC can't limit to a workload are the pods, and the
    session's own objects, whose names nobody knows beforehand.

    \b
      interceptor rbac --for deploy/orders -n shop --user ana | kubectl apply -f -
      interceptor rbac --namespace-only -n shop --group developers | kubectl apply -f -
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.access import namespace_of, ref_for
    from interceptor.workload.role import yaml_of

    typed = Access(**access)

    async def show() -> int:
        ref = await ref_for(typed, target) if target is not None else None
        namespace = ref.namespace if ref is not None else namespace_of(typed)
        subjects = _subjects(users, groups, accounts, namespace)
        objects = _objects(namespace, ref, subjects, guard=guard, debug=debug, log_level=log_level, tap=tap,
                           cluster_wide=not (namespace_only or ref))  # fmt: skip
        if output == "json":
            print(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))
        else:
            print(yaml_of(objects, _notes(ref, subjects)), end="")
        return 0

    with open_teller("text") as teller:
        return run(show, teller)


def _objects(
    namespace: str,
    ref: "WorkloadRef | None",
    subjects: "list[Subject]",
    *,
    guard: bool,
    debug: bool,
    log_level: bool,
    tap: bool,
    cluster_wide: bool,
) -> list[Object]:
    from interceptor.workload import rights
    from interceptor.workload.kinds import POD
    from interceptor.workload.names import lease_name
    from interceptor.workload.role import binding, role

    if ref is None:
        roles = [role(rights.everything(guard=guard), "interceptor", namespace)]
    else:
        name = lease_name(ref.kind.resource.kind, ref.name)
        wanted = rights.needed(ref.kind, ref.name, guard=guard)
        if debug:
            ways = ("ephemeral", "copy", "inject") if ref.kind is not POD else ("ephemeral", "copy")
            wanted += [right for way in ways for right in rights.needed_to_debug(ref.kind, ref.name, way=way)]
        if log_level:
            wanted += rights.needed_for_log_level(ref.kind, ref.name)
        if tap:
            wanted += rights.needed_for_tap(ref.kind, ref.name)
        roles = [role(wanted, name, namespace)]
    if cluster_wide:
        roles.append(role(rights.reading(), "interceptor-list", None))
    return [one for found in roles for one in (found, *(binding(found, subject) for subject in subjects))]


def _subjects(
    users: tuple[str, ...], groups: tuple[str, ...], accounts: tuple[str, ...], namespace: str
) -> "list[Subject]":
    from interceptor.workload.role import Subject

    found = [Subject("User", name) for name in users] + [Subject("Group", name) for name in groups]
    for account in accounts:
        where, _, name = account.rpartition(":")
        found.append(Subject("ServiceAccount", name, where or namespace))
    return found


def _notes(ref: "WorkloadRef | None", subjects: "list[Subject]") -> list[str]:
    notes = [f"What interceptor needs to intercept {ref.title if ref else 'the workloads of this namespace'}."]
    if not subjects:
        notes.append("Bind it with --user, --group or --service-account.")
    return notes
