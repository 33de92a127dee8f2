"""Generates the Applications of a tree's ApplicationSets with Argo CD's own code (`tools/argocd-preview`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.machine_json import read_json
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.gitops.preview.applications import ApplicationGroup, Problem, rolling_steps, waves_of
from devtools.gitops.tree.applications import ARGO, Application, is_cluster
from devtools.gitops.tree.read import KubeObject, Manifest, Tree, mapping
from devtools.process.runner import Command, Runner

_SLOW = 120.0  # seconds
_KEEP = 256 << 20  # bytes of the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What Argo CD knows besides the tree."""

    urls: Sequence[str] = ()  # URLs of the tree's repository; without any, every URL is
    clusters: Sequence[Mapping[str, Any]] = ()  # cluster Secrets, besides those in the tree
    new_globbing: bool = False


def groups(
    tree: Tree, program: Callable[[], Path], runner: Runner, inputs: Inputs | None = None
) -> tuple[ApplicationGroup, ...]:
    """Return the Applications of every ApplicationSet and app-of-apps of a tree.

    `program` returns the path of argocd-preview, and is called only if there are sets. Raises EnvironmentFault if the
    program fails.
    """
    sets = tree.of("ApplicationSet", ARGO)
    generated = _generate(tree, sets, program(), runner, inputs or Inputs()) if sets else ()
    return (*generated, *_app_of_apps(tree))


def cluster_secrets(objects: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the objects that are cluster Secrets."""
    return tuple(item for item in objects if is_cluster(Manifest(data=item)))


def _generate(
    tree: Tree, sets: Sequence[KubeObject], program: Path, runner: Runner, inputs: Inputs
) -> Iterator[ApplicationGroup]:
    request = json.dumps(_request(tree, sets, inputs), default=str).encode()
    result = runner.run(Command(argv=(str(program),), stdin=request, timeout=_SLOW, keep=_KEEP))
    if result.cancelled:
        raise Interrupted("stopped while Argo CD's code generated the Applications")
    if result.timed_out:
        raise TimedOut(f"generating the Applications took more than {_SLOW:.0f} s")
    if not result.ok or result.truncated:
        why = result.stderr.strip() or f"it ended with {result.returncode}"
        raise EnvironmentFault(f"argocd-preview failed: {why}", hint="git must be installed")
    answers = read_json(result.stdout)["sets"]
    for item, answer in zip(sets, answers, strict=True):
        yield _group(item, answer)


def _request(tree: Tree, sets: Iterable[KubeObject], inputs: Inputs) -> dict[str, Any]:
    return {
        "namespace": "argocd",
        "applicationSets": [item.data for item in sets],
        "projects": [item.data for item in tree.of("AppProject", ARGO)],
        "clusters": [*cluster_secrets(item.data for item in tree.of("Secret")), *inputs.clusters],
        "newGlobbing": inputs.new_globbing,
        "repository": {
            "urls": list(inputs.urls),
            "files": {str(source.path): source.raw.decode("utf-8", "replace") for source in tree.sources},
            "paths": sorted(map(str, tree.files)),
        },
    }


def _group(item: KubeObject, answer: Mapping[str, Any]) -> ApplicationGroup:
    apps = sorted((Application(data=_stored(data)) for data in answer["applications"]), key=lambda app: app.name)
    steps, manual = rolling_steps(item.spec, apps)
    dropped: dict[str, Problem] = {}  # one for each message: the same key is dropped from every Application of a set
    for one in map(_problem, answer["dropped"]):
        dropped.setdefault(one.message, one)
    return ApplicationGroup(
        name=item.name,
        file=str(item.path),
        kind="ApplicationSet",
        applications=tuple(apps),
        steps=steps,
        manual=manual,
        errors=tuple(map(_problem, answer["errors"])),
        dropped=tuple(dropped.values()),
    )


def _stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Application without the fields that only a cluster sets."""
    metadata = {key: value for key, value in mapping(data, "metadata").items() if value is not None}
    return {"apiVersion": f"{ARGO}/v1alpha1", "kind": "Application", "metadata": metadata, "spec": data.get("spec")}


def _problem(data: Mapping[str, str]) -> Problem:
    return Problem(data["message"], data.get("application", ""), data.get("path", "").rstrip("/"))


def _app_of_apps(tree: Tree) -> Iterator[ApplicationGroup]:
    """Yield the plain Applications in the directory of another one, in the order of their sync waves."""
    plain = tree.of("Application", ARGO)
    for parent in plain:
        sources = Application(data=parent.data).sources
        directories = {PurePosixPath(str(one["path"])) for _, one in sources if one.get("path")}
        children = [item for item in plain if item is not parent and item.path.parent in directories]
        if apps := tuple(Application(data=item.data) for item in children):
            yield ApplicationGroup(
                name=parent.name, file=str(parent.path), kind="Application", applications=apps, steps=waves_of(apps)
            )
