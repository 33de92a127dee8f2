"""The images that releases want: each chart is rendered by helm, offline, and what comes out is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtools.base.image_names import Reference, parse
from devtools.base.machine_yaml import json_for_yaml
from devtools.errors import DevtoolsError, Interrupted, Problem, TimedOut, config_error
from devtools.helm.commands import Helm, documents
from devtools.helm.failures import HelmFailure, classify
from devtools.images.rendered import images_of
from devtools.model import Release, ReleaseId
from devtools.process.runner import Command, Result, Runner

HOMES = {"HELM_CACHE_HOME": "cache", "HELM_CONFIG_HOME": "config", "HELM_DATA_HOME": "data"}
_STDIN = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One image, and the releases whose manifests name it; a stand-in's is a placeholder that nobody can pull."""

    reference: Reference
    releases: tuple[Release, ...]

    @property
    def stand_in(self) -> bool:
        """Whether only stand-ins want it."""
        return all(release.chart.kind == "stand-in" for release in self.releases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """Renders releases with one helm, whose directories are below `home`; `workers` at a time."""

    program: Path
    home: Path
    runner: Runner
    workers: int

    def wanted(self, releases: Iterable[Release], values: Mapping[str, Mapping[str, Any]]) -> tuple[Wanted, ...]:
        """The images of these releases, sorted by name; `values` has those of each, by `namespace/name`.

        Raises ConfigError with every chart that cannot be rendered or names what is no image.
        """
        chosen = list(releases)
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            found = list(pool.map(lambda release: self._images(release, values[str(release.id)]), chosen))
        users: dict[Reference, list[Release]] = {}
        problems: list[Problem] = []
        for release, (images, wrong) in zip(chosen, found, strict=True):
            problems += wrong
            for reference in images:
                users.setdefault(reference, []).append(release)
        if problems:
            raise config_error(problems)
        return tuple(Wanted(reference=reference, releases=tuple(users[reference])) for reference in sorted(users))

    def failures(
        self, releases: Iterable[Release], values: Mapping[ReleaseId, Mapping[str, Any]]
    ) -> list[tuple[Release, HelmFailure]]:
        """Return the releases that helm cannot render, each with its failure."""
        chosen = list(releases)
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            results = list(pool.map(lambda release: self._run(release, values[release.id]), chosen))
        return [
            (release, classify(result.stderr)) for release, result in zip(chosen, results, strict=True) if not result.ok
        ]

    def _images(self, release: Release, values: Mapping[str, Any]) -> tuple[list[Reference], list[Problem]]:
        """One release's images, and what is wrong with it."""
        try:
            return _read(release, self._run(release, values))
        except DevtoolsError as error:
            return [], [Problem(where=release.where, message=f"{release.id}: {error.message}")]

    def _run(self, release: Release, values: Mapping[str, Any]) -> Result:
        """Render one release; raises Interrupted or TimedOut."""
        result = self.runner.run(self._command(release, values))
        if result.cancelled:
            raise Interrupted("interrupted while rendering charts")
        if result.timed_out:
            raise TimedOut(f"helm did not render {release.id} in time")
        return result

    def _command(self, release: Release, values: Mapping[str, Any]) -> Command:
        """Values go in on stdin: there is no file to take away again."""
        helm = Helm(program=self.program, kubeconfig=Path(), context="")
        env = {key: str(self.home / name) for key, name in HOMES.items()}
        command = helm.template(release.id, release.chart.path, _STDIN)
        return replace(command, env=env, stdin=json_for_yaml(values).encode())


def _read(release: Release, result: Result) -> tuple[list[Reference], list[Problem]]:
    if not result.ok:
        raise DevtoolsError(f"chart '{release.chart.name}' cannot be rendered: {classify(result.stderr).text}")
    images: dict[Reference, None] = {}
    problems: list[Problem] = []
    for text in images_of(documents(result.stdout)):
        try:
            images[parse(text)] = None
        except ValueError as error:
            problems.append(Problem(where=release.where, message=f"{release.id}: {error}"))
    return list(images), problems
