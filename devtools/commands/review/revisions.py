"""`invoke history` and `invoke rollback`: lists and restores Helm's revisions of a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devtools.app.environment import App
from devtools.app.locks import cluster_lock, machine_lock
from devtools.app.options import Options, command_line
from devtools.app.orphans import RUN_VARIABLE, marked
from devtools.app.providers import confirm_writing
from devtools.app.run_setup import new_session
from devtools.clusters.provider import Cluster
from devtools.config.settings_file.handover import refuse_handed_over
from devtools.engine.helm_steps import HelmSteps
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.events import Bus
from devtools.helm.record import read_document
from devtools.kube.client import Kube
from devtools.model import BUSY, Plan, Release, ReleaseId, Stack
from devtools.planning.plan import Selection
from devtools.planning.selection import find_release
from devtools.project import Request
from devtools.releases.facts import record_path, stack_of
from devtools.releases.recovery import records
from devtools.report.text import Span, visible

VERSION = 1  # of the JSON documents
_WORKED = frozenset({"deployed", "superseded"})


def history(app: App, typed: str, options: Options) -> ExitCode:
    """Show the revisions of a release, newest last."""
    stack = app.stack()
    release = find_release(stack, typed).id
    kube = app.client(app.find_cluster())
    states = _states(kube, release)
    revisions = [_revision(app, kube, release, number, states[number]) for number in sorted(states)]
    environment = stack.environment.name
    document = {"version": VERSION, "kind": "history", "release": str(release), "environment": environment}
    app.show({**document, "revisions": revisions}, _lines, options.output)
    return ExitCode.OK


def rollback(app: App, typed: str, revision: str, options: Options) -> ExitCode:
    """Roll back a release to a revision ("": the last successful one before the newest), under the locks of a run."""
    stack = app.stack()
    release = find_release(stack, typed)
    if not (options.force_local or options.dry_run):
        refuse_handed_over(app.settings, stack.environment.name)
    cluster = app.find_cluster()
    newest, target = _target(app.client(cluster), stack, release, revision)
    if not options.dry_run:
        if not options.yes:
            confirm_writing(app, cluster.context)
        newest, target = _roll_back(app, cluster, stack, release, revision, options)
    document = {
        "version": VERSION,
        "kind": "rollback",
        "release": str(release.id),
        "environment": stack.environment.name,
        "from": newest,
        "to": target,
        "dry_run": options.dry_run,
    }
    app.show(document, _rolled_back, options.output)
    return ExitCode.OK


def _roll_back(
    app: App, cluster: Cluster, stack: Stack, release: Release, revision: str, options: Options
) -> tuple[int, int]:
    bus = Bus((_Notices(app),), app.clock, app.redactor)
    kube = app.client(cluster, bus, app.cancel.child())
    command = command_line(f"rollback {release.id} {revision}".strip(), options, app.environment)
    request = Request(command=command, stack=stack, selection=Selection(layers=()), options=options)
    with (
        machine_lock(app, bus, cluster, request),
        cluster_lock(app, bus, kube, cluster, request),
        marked(app.folders.state / "marks", app.say) as mark,
    ):
        newest, target = _target(kube, stack, release, revision)
        session = new_session(app, cluster, bus, kube, request, values={}, variables={RUN_VARIABLE: mark})
        steps = HelmSteps(session, Plan(stack=stack, layers=(), steps=()))
        try:
            steps.roll_back(release, target)
        finally:
            steps.close()
    return newest, target


class _Notices:
    """Prints the notices of a run without a screen."""

    def __init__(self, app: App) -> None:
        self._app = app

    def emit(self, event: Any, _at: float) -> None:
        """See `Sink`."""
        if message := getattr(event, "message", ""):
            self._app.say(message)

    def close(self) -> None:
        """See `Sink`."""


def _states(kube: Kube, release: ReleaseId) -> dict[int, str]:
    """Return Helm's status of each revision; EnvironmentFault if the release is not on the cluster."""
    from devtools.releases.recovery import records, revisions

    found = revisions(records(kube, release)).get(release, ())
    if not found:
        raise EnvironmentFault(f"release {release} is not on the cluster", hint="invoke plan shows what up would do")
    return {item.number: item.status for item in found}


def _target(kube: Kube, stack: Stack, release: Release, typed: str) -> tuple[int, int]:
    """Return the newest revision and the one to restore; ConfigError if there is none."""
    states = _states(kube, release.id)
    newest = max(states)
    owner = stack_of(records(kube, release.id))
    if owner != stack.name:
        whose = f"stack '{owner}'" if owner else "another tool"
        raise ConfigError(f"release {release.id} was installed by {whose}: this stack cannot roll it back")
    if states[newest] in BUSY:
        hint = f"to finish the interrupted operation: invoke layer {release.layer}"
        raise EnvironmentFault(f"release {release.id} is {states[newest]}", hint=hint)
    if typed:
        if not (typed.isascii() and typed.isdigit() and int(typed) in states):
            known = ", ".join(map(str, sorted(states)))
            hint = f"Helm keeps {'revision' if len(states) == 1 else 'revisions'} {known} of it"
            raise ConfigError(f"release {release.id} has no revision '{typed}'", hint=hint)
        return newest, int(typed)
    worked = [number for number, status in states.items() if status in _WORKED and number < newest]
    if not worked:
        hint = f"invoke history {release.name} shows its revisions"
        raise ConfigError(f"release {release.id} has no earlier revision that was deployed", hint=hint)
    return newest, max(worked)


def _revision(app: App, kube: Kube, release: ReleaseId, number: int, status: str) -> dict[str, Any]:
    record = read_document(kube.get(record_path(release, number)) or {})
    info, chart = record.get("info") or {}, (record.get("chart") or {}).get("metadata") or {}
    app.redactor.learn(record.get("config") or {})
    return {
        "revision": number,
        "status": status,
        "updated": str(info.get("last_deployed", "")),
        "chart": f"{chart.get('name', '')}-{chart.get('version', '')}",
        "app_version": str(chart.get("appVersion", "")),
        "description": app.redactor.text(str(info.get("description", ""))),
    }


def _lines(document: Mapping[str, Any], width: int) -> list[Any]:
    rows = [("REVISION", "UPDATED", "STATUS", "CHART", "DESCRIPTION")]
    rows += [
        (str(one["revision"]), one["updated"][:19], one["status"], one["chart"], visible(one["description"]))
        for one in document["revisions"]
    ]
    pads = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join([*(f"{cell:<{pad}}" for cell, pad in zip(row, pads, strict=False)), row[4]]) for row in rows]
    return [(Span(line[: max(width, 80)], "" if index else "dim"),) for index, line in enumerate(lines)]


def _rolled_back(document: Mapping[str, Any], _width: int) -> list[Any]:
    does = "would be rolled back" if document["dry_run"] else "rolled back"
    line = f"{document['release']} {does} from revision {document['from']} to the state of revision {document['to']}"
    after = "The next run of its layer deploys the declared state again: change that, too."
    return [(Span(line),), (Span(after, "dim"),)]
