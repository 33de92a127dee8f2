"""CRDs in a chart's `crds/` directories, which Helm installs once and never upgrades (helm/helm#8972).

The engine applies them before each install and upgrade, and Helm gets `--skip-crds`: the fields have one owner from the
start, and a CRD that another release also installs is not a conflict. They are applied on the server, because many are
larger than the annotation that a client-side apply would need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from devtools.charts.crds import ChartObject
from devtools.charts.packaged.prerequisites import prerequisites
from devtools.events import Notice
from devtools.helm.labels import LABEL_STACK
from devtools.kube.client import ApiError, Kube
from devtools.model import ObjectRef, Release
from devtools.readiness.rules import condition, waits_for
from devtools.readiness.wait import Failure, Wait
from devtools.run_context.session import Session

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ON_ITS_WAY = frozenset({None, "", "Installing", "NotAccepted"})  # why it is not established yet
_PARALLEL = 4  # requests: the server takes some 20 ms for a large one
_ABSENT: Mapping[str, Any] = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The effect of applying a CRD on the one on the cluster: versions added, removed, and removed while in use."""

    name: str
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()  # removed, or no longer served
    stored: tuple[str, ...] = ()  # removed, although objects may be stored in it

    @property
    def summary(self) -> str:
        """`kafkas.kafka.strimzi.io gains v1, loses v1beta1`; empty if the versions stay the same."""
        parts = [f"gains {', '.join(self.added)}"] if self.added else []
        parts += [f"loses {', '.join(self.dropped)}"] if self.dropped else []
        return f"{self.name} {', '.join(parts)}" if parts else ""


def apply_crds(session: Session, release: Release, stack: str, wait: Wait) -> None:
    """Apply the CRDs in `crds/` of the release's chart and wait until they are established.

    All are compared before any is applied. Raises Failure if a version in which objects may be stored would be removed,
    or if the API server refuses; LateFailure if time runs out.
    """
    found = prerequisites(release, session.values[release.id])
    if not found:
        return
    kube, crds = session.kube, {_name(item): item for item in found if item.is_crd}
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="crd") as pool:
        live = dict(zip(crds, pool.map(lambda name: _settled(kube, name, wait), crds), strict=True))
        changes = [compare(item.data, before) for name, item in crds.items() if (before := live[name])]
        _refuse(changes)
        labels = {LABEL_STACK: stack}
        for _ in pool.map(lambda name: _apply(kube, f"{CRDS}/{name}", crds[name], labels), crds):
            pass
    _await_established(kube, crds, wait)
    for item in found:
        if not item.is_crd:
            _apply(kube, _path(kube, item, release.namespace), item, {})
    if summary := [change.summary for change in changes if change.summary]:
        level: Literal["info", "warning"] = "warning" if any(change.dropped for change in changes) else "info"
        session.bus.emit(Notice(level=level, message=f"CRDs upgraded: {'; '.join(summary)}", release=str(release.id)))


def compare(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Change:
    """Return what would change about the versions of a CRD; both arguments are API objects."""
    before, after = _served(live), _served(wanted)
    stored = (live.get("status") or {}).get("storedVersions") or ()
    return Change(
        name=str(wanted["metadata"]["name"]),
        added=tuple(name for name, served in after.items() if served and not before.get(name)),
        dropped=tuple(name for name, served in before.items() if served and not after.get(name)),
        stored=tuple(name for name in stored if name not in after),
    )


def _served(crd: Mapping[str, Any]) -> dict[str, bool]:
    """Return the versions of a CRD, and whether each is served."""
    return {str(item["name"]): bool(item.get("served")) for item in (crd.get("spec") or {}).get("versions") or ()}


def _refuse(changes: Sequence[Change]) -> None:
    """Raise Failure with every CRD whose stored objects could not be read any more."""
    lost = [
        f"CRD {change.name} would lose version {', '.join(change.stored)}, in which objects may be stored"
        for change in changes
        if change.stored
    ]
    if lost:
        hint = "rewrite its objects in a newer version, then take the old one out of the CRD's status.storedVersions"
        raise Failure(lost[0], hint=hint, details=lost[1:])


def _settled(kube: Kube, name: str, wait: Wait) -> dict[str, Any] | None:
    """Return the CRD on the cluster; wait until it is gone if it is being deleted, as would be all changes to it."""
    polling = wait.polling()
    while (live := kube.get(f"{CRDS}/{name}")) and live["metadata"].get("deletionTimestamp"):
        polling.pause([f"CustomResourceDefinition/{name} (being deleted)"])
    return live


def _await_established(kube: Kube, crds: Mapping[str, ChartObject], wait: Wait) -> None:
    """Wait until every kind can be used; discovery answers this for most, because reading each CRD is expensive."""
    kube.discover()
    served = {(kind.api_version, kind.plural, kind.kind) for kind in kube.served()}
    if missing := [name for name, item in crds.items() if not served.issuperset(_promised(item.data))]:
        for name in missing:
            _established(kube, name, crds[name].file, wait)
        kube.discover()


def _promised(crd: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Return what will be served for a CRD: API version, plural and kind; never empty."""
    spec, names = crd["spec"], crd["spec"]["names"]
    versions = [name for name, served in _served(crd).items() if served] or [""]
    return {(f"{spec['group']}/{version}", str(names["plural"]), str(names["kind"])) for version in versions}


def _established(kube: Kube, name: str, file: str, wait: Wait) -> None:
    """Wait until the CRD's kind can be used; Failure if the API server says why it cannot be."""
    polling = wait.polling()
    while True:
        live = kube.get(f"{CRDS}/{name}") or _ABSENT
        names = condition(live, "NamesAccepted")
        if names.get("status") == "False":
            raise Failure(f"CRD {name} cannot be used: {names.get('message') or names.get('reason')}")
        established = condition(live, "Established")
        if established.get("status") == "False" and established.get("reason") not in _ON_ITS_WAY:
            hint = f"correct it in {file} of the chart"
            raise Failure(f"CRD {name}: {established.get('message') or established.get('reason')}", hint=hint)
        if not (reason := waits_for(live)):
            return
        polling.pause([f"CustomResourceDefinition/{name} ({reason})"])


def _apply(kube: Kube, path: str, item: ChartObject, labels: Mapping[str, str]) -> None:
    """Apply an object without the fields that only the API server may set."""
    metadata = {key: value for key, value in item.data["metadata"].items() if key != "creationTimestamp"}
    if labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    body = {key: value for key, value in item.data.items() if key != "status"} | {"metadata": metadata}
    try:
        kube.apply(path, body)
    except ApiError as error:
        hint = f"it is in {item.file} of the chart"
        raise Failure(f"{item.data['kind']} {_name(item)} was refused: {error.text}", hint=hint) from error


def _path(kube: Kube, item: ChartObject, namespace: str) -> str:
    """Return the URL path of an object that is not a CRD."""
    metadata = item.data["metadata"]
    ref = ObjectRef(item.data["apiVersion"], item.data["kind"], metadata.get("namespace") or namespace, _name(item))
    path = kube.path_of(ref)
    if path is None:
        raise Failure(f"{ref.kind} {ref.name} in {item.file} of the chart: the API server has no such kind")
    return path


def _name(item: ChartObject) -> str:
    return str(item.data["metadata"]["name"])
