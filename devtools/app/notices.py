"""Warnings and notices that are printed before a plan is carried out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.base.words import shortened
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault
from devtools.events import Bus
from devtools.model import SYNCED, Action, Plan, Planned, Release, ReleaseId, Stack

if TYPE_CHECKING:
    from devtools.helm.failures import HelmFailure
    from devtools.kube.client import Kube
    from devtools.rendering.renderer import Renderer

_MOST_RENDERED = 50  # helm takes a tenth of a second or more for each


def other_run(app: App, stack: Stack, context: str, kube: Kube) -> str:
    """Return a warning if another run, here or on another machine, is changing the inspected stack; else empty."""
    from devtools.app.locks import run_subject
    from devtools.locks.run_lock import under_way

    other = under_way(app.folders.state / "locks", run_subject(stack, context)) or _elsewhere(stack, kube)
    return f"another run is in progress, so this output may soon be out of date: {other}" if other else ""


def _elsewhere(stack: Stack, kube: Kube) -> str:
    """Return the holder of the stack's Leases; empty if there is none, or this user may not read them."""
    from devtools.app.locks import lease_namespaces
    from devtools.locks.lease import find_holder

    for namespace in lease_namespaces(stack):
        with contextlib.suppress(DevtoolsError):
            if holder := find_holder(kube, namespace, stack.name):
                return str(holder)
    return ""


def warn_of_plan(planned: Planned, environment: str, bus: Bus) -> None:
    """Warn of releases that no layer declares any more, and of upgrades that render differently each time.

    Unchanged releases are not checked: they are not rendered again, whatever their templates call.
    """
    if undeclared := undeclared_releases(planned.plan, environment):
        bus.warn(undeclared)
    upgrades = [step for step in planned.plan.steps if step.action is Action.UPGRADE and not step.sweep]
    if not upgrades:
        return
    from devtools.charts.random_functions import describe, random_templates

    for step in upgrades:
        if found := list(describe(random_templates(step.release.chart.path, planned.inputs.values[step.id]))):
            what = shortened(found, separator="; ")
            message = f"may render differently each time ({what}): this upgrade may change the generated values"
            bus.warn(message, str(step.id))


def undeclared_releases(plan: Plan, environment: str) -> str:
    """Return a warning about releases that no layer declares any more; empty if there are none."""
    if not plan.undeclared:
        return ""
    names, verb = ", ".join(map(str, plan.undeclared)), "is" if len(plan.undeclared) == 1 else "are"
    command = f"invoke down --undeclared{f' --env {environment}' if environment else ''}"
    return f"{names} {verb} on the cluster, but no longer declared; to uninstall: {command}"


def broken_releases(app: App, planned: Planned, bus: Bus) -> list[ReleaseId]:
    """Render the charts of the releases to sync, without the cluster; return those that no cluster could render.

    Nothing is rendered if helm is not built yet. Releases that were rendered before from the same inputs are skipped.
    Of more than 50 releases, one of each chart is rendered, and a notice says so. A template that asks the cluster
    (`lookup`, `.Capabilities`) may fail only here. Emits a warning for each failure.
    """
    from devtools.rendering.rendered_before import RenderedBefore

    steps, digests = planned.plan.steps, planned.inputs.digests
    releases = [step.release for step in steps if step.action in SYNCED and not step.is_on_stand_in]
    try:
        program = app.toolchain.path("helm") if releases else None
    except EnvironmentFault:
        return []
    if program is None:
        return []
    before = RenderedBefore(app.folders.cache / "rendered", f"{app.settings.root} {app.environment_name} {program}")
    keys = {release.id: f"{release.id}@{digests[release.id]}" for release in releases}
    releases = [release for release in releases if keys[release.id] not in before]
    if not releases:
        return []
    if len(releases) > _MOST_RENDERED:
        charts = {release.chart.path: release for release in reversed(releases)}  # the first release of each chart
        bus.note(f"rendered one release of each chart, {len(charts)} of {len(releases)}; to render all: invoke check")
        releases = list(charts.values())
    values, locked = _with_secrets(app, planned, bus)
    releases = [release for release in releases if release.id not in locked]
    from devtools.rendering.renderer import renderer

    with renderer(program, app.runner) as rendering:
        results = rendering.each(lambda release: _failure(rendering, release, values[release.id]), releases)
    failures = [(release, failure) for release, failure in zip(releases, results, strict=True) if failure]
    for release, failure in failures:
        bus.warn(f"helm cannot render chart {release.chart.name}: {failure.text}", str(release.id))
    failed = {release.id for release, _ in failures}
    before.add(keys[release.id] for release in releases if release.id not in failed)
    return [release.id for release, failure in failures if failure.is_certain]


def _with_secrets(
    app: App, planned: Planned, bus: Bus
) -> tuple[Mapping[ReleaseId, Mapping[str, Any]], frozenset[ReleaseId]]:
    """Return decrypted values; if a key is missing, warn of the releases that are not rendered, and return them."""
    from devtools.app.stack_cache import with_secrets

    try:
        return with_secrets(app, planned).inputs.values, frozenset()
    except ConfigError as error:
        why = "; ".join(str(problem.where.file) for problem in error.problems)
    locked = [step.id for step in planned.plan.steps if step.action in SYNCED and step.release.secret_files]
    for name in locked:
        message = f"cannot be rendered here, because encrypted values cannot be decrypted ({why}): invoke secrets"
        bus.warn(message, str(name))
    return planned.inputs.values, frozenset(locked)


def _failure(rendering: Renderer, release: Release, values: Mapping[str, Any]) -> HelmFailure | None:
    """Return why helm cannot render a release; None if it can."""
    from devtools.rendering.renderer import RenderingFailed

    try:
        rendering.offline(release, values)
    except RenderingFailed as error:
        return error.failure
    return None
