"""Runs helm to render releases: offline, or against a cluster if their templates read it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from devtools.base.atomic_write import private_directory
from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import json_for_yaml
from devtools.errors import DevtoolsError, Interrupted, TimedOut
from devtools.helm.commands import Helm, documents, hook_events
from devtools.helm.failures import HelmFailure, classify
from devtools.model import Release
from devtools.process.runner import Command, Result, Runner

_HOMES = {"HELM_CACHE_HOME": "cache", "HELM_CONFIG_HOME": "config", "HELM_DATA_HOME": "data", "KUBECACHEDIR": "kube"}
_STDIN = Path("-")
Input = TypeVar("Input")
Output = TypeVar("Output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """An object that Helm creates at some events only, such as `pre-upgrade`."""

    events: tuple[str, ...]
    object: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A release's rendered chart: `text` as helm printed it, its objects and hooks. Holds secrets."""

    text: str
    objects: tuple[Mapping[str, Any], ...]
    hooks: tuple[Hook, ...] = ()


class RenderingFailed(DevtoolsError):
    """Helm could not render a release, or rendered something that is not a list of objects."""

    def __init__(self, failure: HelmFailure) -> None:
        """`failure` is the classified error of helm."""
        super().__init__(failure.text, hint=failure.hint)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The capabilities of the cluster that templates see; empty: helm's defaults."""

    kube_version: str = ""
    api_versions: tuple[str, ...] = ()  # `group/version` and `group/version/Kind`
    upgrade: bool = False  # the release exists already


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """Renders with one helm whose directories are below `home`; `workers` at a time."""

    program: Path
    home: Path
    runner: Runner
    workers: int
    kubeconfig: Path = field(default_factory=Path)  # only `on_cluster` needs both
    context: str = ""

    def each(self, work: Callable[[Input], Output], inputs: Sequence[Input]) -> list[Output]:
        """Apply a function to each item, at most `workers` at a time."""
        with ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="render") as pool:
            return list(pool.map(work, inputs))

    def offline(
        self, release: Release, values: Mapping[str, Any], known: Capabilities | None = None, *, crds: bool = False
    ) -> Rendered:
        """Render by `helm template`, which talks to no cluster, so that `lookup` finds nothing.

        With `crds` the content of `crds/` is part of the result. Raises RenderingFailed, Interrupted or TimedOut.
        """
        known = known or Capabilities()
        command = self._helm.template(
            release.id,
            release.chart.path,
            _STDIN,
            kube_version=known.kube_version,
            api_versions=known.api_versions,
            upgrade=known.upgrade,
            crds=crds,
        )
        result = self._run(release, replace(command, stdin=json_for_yaml(values).encode()))
        every = _parsed(result.stdout)
        return Rendered(
            text=result.stdout,
            objects=tuple(item for item in every if not hook_events(item)),
            hooks=tuple(Hook(events=events, object=item) for item in every if (events := hook_events(item))),
        )

    def on_cluster(self, release: Release, values: Mapping[str, Any], *, take: bool = False) -> Rendered:
        """Render by a dry run of `helm upgrade`: with the cluster's capabilities, its objects and the next revision.

        Raises RenderingFailed also if the cluster would refuse the upgrade.
        """
        command = self._helm.rehearse(release.id, release.chart.path, take=take)
        result = self._run(release, replace(command, stdin=json_for_yaml(values).encode()))
        try:
            document = read_json(result.stdout[result.stdout.index("{") :])  # warnings may come first
            text, hooks = str(document.get("manifest") or ""), document.get("hooks") or ()
            found = [item for hook in hooks for item in _parsed(str(hook.get("manifest") or ""))]
        except (ValueError, AttributeError, TypeError) as error:
            raise RenderingFailed(classify("Error: helm's output is not a release")) from error
        return Rendered(
            text=text, objects=_parsed(text), hooks=tuple(Hook(events=hook_events(item), object=item) for item in found)
        )

    @property
    def _helm(self) -> Helm:
        return Helm(program=self.program, kubeconfig=self.kubeconfig, context=self.context, env=homes(self.home))

    def _run(self, release: Release, command: Command) -> Result:
        result = self.runner.run(command)
        if result.cancelled:
            raise Interrupted("interrupted while rendering charts")
        if result.timed_out:
            raise TimedOut(f"helm did not render {release.id} in time")
        if not result.ok:
            raise RenderingFailed(classify(result.stderr))
        return result


def homes(directory: Path) -> dict[str, str]:
    """Return the variables by which helm has its files below a directory."""
    return {key: str(directory / name) for key, name in _HOMES.items()}


@contextlib.contextmanager
def renderer(program: Path, runner: Runner, kubeconfig: Path | None = None, context: str = "") -> Iterator[Renderer]:
    """Yield a renderer, and delete its directories afterwards."""
    with private_directory("helm") as home:
        yield Renderer(
            program=program,
            home=home,
            runner=runner,
            workers=os.cpu_count() or 1,
            kubeconfig=kubeconfig or Path(),
            context=context,
        )


def _parsed(text: str) -> tuple[dict[str, Any], ...]:
    """Return the objects of a manifest; raise RenderingFailed if it is not a manifest."""
    try:
        return tuple(documents(text))
    except DevtoolsError as error:
        raise RenderingFailed(HelmFailure(kind="chart", text=error.message)) from error
