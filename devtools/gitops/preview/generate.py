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
from devtools.gitops.tree.applications import Application
from devtools.gitops.tree.read import KubeObject, Tree, mapping
from devtools.process.runner import Command, Runner

GROUP = "argoproj.io"
_CLUSTER = ("argocd.argoproj.io/secret-type", "cluster")
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
    sets = tree.of("ApplicationSet", GROUP)
    generated = _generate(tree, sets, program(), runner, inputs or Inputs()) if sets else ()
    return (*generated, *_app_of_apps(tree))


def cluster_secrets(objects: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the objects that are cluster Secrets."""
    key, value = _CLUSTER
    return tuple(
        item
        for item in objects
        if item.get("kind") == "Secret" and mapping(mapping(item.get("metadata")).get("labels")).get(key) == value
    )


def _generate(
    tree: Tree,
    sets: Sequence[KubeObject],
    program: Path,
    runner: Runner,
    inputs: Inputs,
) -> Iterator[ApplicationGroup]:
    command = Command(
        argv=(str(program),),
        stdin=json.dumps(_request(tree, sets, inputs), default=str).encode(),
        timeout=_SLOW,
        keep=_KEEP,
    )
    result = runner.run(command)
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
        "projects": [item.data for item in tree.of("AppProject", GROUP)],
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
    return ApplicationGroup(
        name=item.name,
        file=str(item.path),
        kind="ApplicationSet",
        applications=tuple(apps),
        steps=steps,
        manual=manual,
        errors=tuple(_problem(one) for one in answer["errors"]),
        dropped=_distinct(_problem(one) for one in answer["dropped"]),
    )


def _stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Application without the fields that only a cluster sets."""
    metadata = {key: value for key, value in mapping(data.get("metadata")).items() if value is not None}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Application", "metadata": metadata, "spec": data.get("spec")}


def _problem(data: Mapping[str, str]) -> Problem:
    return Problem(
        message=data["message"], application=data.get("application", ""), path=data.get("path", "").rstrip("/")
    )


def _distinct(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems, one for each message: the same key is dropped from every Application of a set."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.message, problem)
    return tuple(first.values())


def _app_of_apps(tree: Tree) -> Iterator[ApplicationGroup]:
    """Yield the plain Applications in the directory of another one, in the order of their sync waves."""
    plain = tree.of("Application", GROUP)
    for parent in plain:
        directories = [str(one["path"]) for _, one in Application(data=parent.data).sources if one.get("path")]
        children = [item for item in plain if item is not parent and _is_in(item.path, directories)]
        if children:
            apps = tuple(Application(data=item.data) for item in children)
            yield ApplicationGroup(
                name=parent.name, file=str(parent.path), kind="Application", applications=apps, steps=waves_of(apps)
            )


def _is_in(path: PurePosixPath, directories: Iterable[str]) -> bool:
    return any(path.parent == PurePosixPath(directory) for directory in directories)
