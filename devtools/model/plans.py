"""What a cluster holds of a stack, and the plan made from both, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from devtools.model.declared import Hook, Release, ReleaseId, Stack


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object of a release on the cluster; `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`kind/name`, as kubectl prints it."""
        return f"{self.kind}/{self.name}"


STAND_IN = "stand-in"
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})  # Helm's, while it works
BUSY = PENDING | {"uninstalling"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFact:
    """What the cluster holds of one release now."""

    id: ReleaseId
    status: str  # Helm's: deployed, failed, pending-install, …
    revision: int
    digest: str = ""  # digest of the inputs that this revision was made from
    ready: str = ""  # the digest that became ready and met its contract; `after` if its commands are still due
    tested: str = ""  # of a smoke release: the digest on which its tests passed; `failed` if they failed last
    objects: tuple[ObjectRef, ...] = ()  # objects of the ready revision
    missing: tuple[ObjectRef, ...] = ()  # those of them that are gone
    going: tuple[ObjectRef, ...] = ()  # those of them that are being deleted
    leaving: bool = False  # its namespace is being deleted, with everything in it
    layer: str = ""  # the layer label it was installed with
    stack: str = ""  # the stack label it was installed with
    chart: str = ""  # the kind of chart it was installed from; empty if another tool installed it
    rolled_back_to: int = 0  # the revision that this one restores; 0 if it is not a rollback
    cut_off: tuple[int, ...] = ()  # revisions before this one that Helm still calls pending
    other_helm: str = ""  # field manager of a helm that devtools did not start, if its operation is not finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the cluster holds now, by release."""

    releases: Mapping[ReleaseId, ReleaseFact] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()  # made for releases of the stack; read only if they may be deleted
    crds: tuple[str, ...] = ()  # of the stack; read only if they may be deleted
    absent: tuple[str, ...] = ()  # required namespaces that are missing or being deleted


class Action(StrEnum):
    """What a step will do."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    UNCHANGED = "unchanged"
    UNINSTALL = "uninstall"
    BLOCKED = "blocked"
    DISABLED = "disabled"


SYNCED = frozenset({Action.INSTALL, Action.UPGRADE})  # helm syncs these releases


class Sweep(StrEnum):
    """What remains of a stack when its releases are gone; the value is used in place of a release's namespace.

    No namespace has a capital letter, so it cannot be confused with a release.
    """

    NAMESPACES = "Namespaces"
    CRDS = "CRDs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a run will do to one release, and why; `needs` are edges inside the plan."""

    release: Release
    action: Action
    reason: str
    needs: tuple[ReleaseId, ...] = ()
    digest: str = ""
    recover: str = ""  # the pending-* or failed state to clear first, or STAND_IN to uninstall first
    cut_off: tuple[int, ...] = ()  # older revisions that Helm still calls pending, to forget
    revision: int = 0  # the deployed revision now; 0: none
    sweep: Sweep | None = None  # the step is not about a release, but about what remains of all of them
    force: bool = False  # of CRDs: also delete all objects of their kinds
    recreate: bool = False  # objects with a change to immutable fields are deleted first
    take: bool = False  # take over fields and objects of other owners
    take_pending: bool = False  # assume that a helm that has not finished its work on the release was killed
    going: tuple[ObjectRef, ...] = ()  # objects that are being deleted; the step waits for them first
    adopt: bool = False  # the release was installed by other means, or by another stack, and becomes this stack's

    @property
    def id(self) -> ReleaseId:
        """The release of the step."""
        return self.release.id

    @property
    def is_on_stand_in(self) -> bool:
        """Whether it uses a stand-in; a step that removes or skips a release uses no chart."""
        return self.release.chart.kind == STAND_IN and self.action not in {"uninstall", "disabled", "blocked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in an order that respects every edge; the same inputs give the same plan."""

    stack: Stack
    layers: tuple[str, ...]  # selected ones, in order
    steps: tuple[Step, ...]
    keeps_crds: bool = False  # releases are removed and their CRDs stay, which must be reported
    undeclared: tuple[ReleaseId, ...] = ()  # on the cluster and not removed, although no layer declares them any more
    runs_commands: bool = False  # whether the commands of the stack run around it, if it changes anything

    @property
    def before(self) -> tuple[Hook, ...]:
        """The commands of the stack to run before the first step."""
        return self.stack.before if self.runs_commands and self._changes else ()

    @property
    def after(self) -> tuple[Hook, ...]:
        """The commands of the stack to run after the last step."""
        return self.stack.after if self.runs_commands and self._changes else ()

    @property
    def _changes(self) -> bool:
        return any(step.action in {*SYNCED, Action.UNINSTALL} for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What Helm receives for each release: merged values, and the digest of all inputs."""

    values: Mapping[ReleaseId, Mapping[str, Any]]
    digests: Mapping[ReleaseId, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with the facts and inputs it was made from."""

    plan: Plan
    facts: Facts
    inputs: Inputs
