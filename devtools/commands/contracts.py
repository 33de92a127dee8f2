"""`invoke contracts`: checks whether deployed releases keep their contracts, once or continuously."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.atomic_write import write_whole
from devtools.clusters.provider import Cluster
from devtools.errors import DevtoolsError, ExitCode, Interrupted
from devtools.events import Verdict
from devtools.model import Action, ReleaseId, Step
from devtools.planning.selection import choose
from devtools.project import Project, Request
from devtools.readiness.contracts import Contracts
from devtools.readiness.observer import Observer
from devtools.report.text import Line, Span, Style, with_note
from devtools.tilt.specs import WATCH_FILE

VERSION = 1
PERIOD = 5.0  # seconds between two checks
State = Literal["ready", "waiting", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One release: `ready` if it is deployed as declared and keeps its contract, `broken` if it no longer does."""

    release: ReleaseId
    layer: str
    state: State
    reason: str = ""


def contracts(app: App, name: str, options: Options) -> ExitCode:
    """Check the chosen releases (all, or those of one layer and the selector) once; exit code 1 unless all are ready.

    Changes nothing, and takes no run lock.
    """
    cluster, found = check_health(app, name, options)
    app.show(contracts_json(cluster.context, found), _lines, options.output)
    return ExitCode.OK if all(item.state == "ready" for item in found) else ExitCode.FAILED


def watch(app: App, name: str, options: Options) -> ExitCode:
    """Check repeatedly, print changes, and write the newest state to the file that Tilt's resources read.

    Ends only with Interrupted: errors of the cluster or the files are printed, and the check is repeated.
    """
    path = app.settings.root / WATCH_FILE
    before: Mapping[ReleaseId, Health] = {}
    suspected: frozenset[ReleaseId] = frozenset()
    problem = ""
    while True:
        began = app.clock()
        try:
            _, found_now = check_health(app, name, options)
        except (Interrupted, KeyboardInterrupt):
            raise
        except DevtoolsError as error:
            if error.message != problem:
                problem = error.message
                app.say(f"cannot check contracts: {error.message}" + (f" ({error.hint})" if error.hint else ""))
        else:
            problem = ""
            found = confirm_broken(found_now, suspected)
            suspected = frozenset(item.release for item in found_now if item.state == "broken")
            write_whole(path, state_file(found, int(began)))
            for item in found:
                if before.get(item.release) != item:
                    app.say(f"{item.release} is {item.state}" + (f": {item.reason}" if item.reason else ""))
            before = {item.release: item for item in found}
        if app.cancel.wait(PERIOD):
            raise Interrupted(app.cancel.reason)


def check_health(app: App, name: str, options: Options) -> tuple[Cluster, list[Health]]:
    """Return the cluster, and the health of the chosen enabled releases, in order."""
    project = Project(app)
    stack = project.stack()
    cluster = app.find_cluster()
    kube = app.client(cluster)
    request = Request(command="contracts", stack=stack, selection=choose(stack, name, options.selector))
    planned = project.plan(request, cluster, kube)
    judge = Contracts(
        Observer(kube), simulated=cluster.simulated, real_node=cluster.real_node if cluster.simulated else ""
    )
    gone = {fact.id: fact.missing for fact in planned.facts.releases.values()}
    steps = [step for step in planned.plan.steps if step.action is not Action.DISABLED and not step.release.smoke]
    return cluster, [_health(step, judge, bool(gone.get(step.id))) for step in steps]


def confirm_broken(found_now: Iterable[Health], suspected: frozenset[ReleaseId]) -> list[Health]:
    """Return the releases; one is broken only if it was at the previous check, too: pod restarts do not count."""
    return [
        replace(item, state="waiting") if item.state == "broken" and item.release not in suspected else item
        for item in found_now
    ]


def state_file(found: Sequence[Health], began: int) -> str:
    """Return the text for Tilt's resources: when the check began, each release's state, broken ones by layer."""
    lines = [f"look {began}"]
    for item in found:
        reason = " ".join(item.reason.split())
        if item.state == "broken":
            lines += [f"broken {item.release}: {reason}", f"broken {item.layer} {item.release}: {reason}"]
        else:
            lines.append(f"{item.state} {item.release}")
    return "\n".join(lines) + "\n"


def _health(step: Step, judge: Contracts, gone: bool) -> Health:  # noqa: FBT001
    release = step.release
    health = Health(release=release.id, layer=release.layer, state="ready")
    if step.action is not Action.UNCHANGED:
        return replace(health, state="broken" if gone else "waiting", reason=step.reason)
    for contract in release.contract:
        checked = judge.check(contract, release.id.namespace)
        if checked.verdict is Verdict.FAILED:
            return replace(health, state="broken", reason=f"{contract}: {checked.reason}")
    return health


def contracts_json(context: str, found: Iterable[Health]) -> dict[str, Any]:
    """Return the documented `contracts` document."""
    return {
        "version": VERSION,
        "kind": "contracts",
        "context": context,
        "releases": [{**asdict(item), "release": str(item.release)} for item in found],
    }


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    styles: dict[str, Style] = {"ready": "good", "broken": "bad"}
    pad = max((len(item["release"]) for item in document["releases"]), default=0)
    rows = []
    for item in document["releases"]:
        head = (Span(f"{item['state']:<8}", styles.get(item["state"], "warn")), Span(f"{item['release']:<{pad}}"))
        rows += with_note(head, item["reason"], width)
    return rows
