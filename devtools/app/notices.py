"""Warnings and notices that are printed before a plan is carried out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.base.words import shortened
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault
from devtools.events import Notice
from devtools.model import SYNCED, Action, Plan, Release, ReleaseId, Stack

if TYPE_CHECKING:
    from devtools.helm.failures import HelmFailure
    from devtools.kube.client import Kube
    from devtools.rendering.renderer import Renderer

_MOST_RENDERED = 50  # helm takes a tenth of a second or more for each


def others_notice(app: App, stack: Stack, context: str, kube: Kube) -> Notice | None:
    """Return a warning if another run, here or on another machine, is changing the inspected stack."""
    from devtools.app.locks import run_subject
    from devtools.locks.run_lock import under_way

    other = under_way(app.folders.state / "locks", run_subject(stack.name, context)) or _elsewhere(stack, kube)
    if other:
        return Notice(
            level="warning", message=f"another run is in progress, so this output may soon be out of date: {other}"
        )
    return None


def _elsewhere(stack: Stack, kube: Kube) -> str:
    """Return the holder of the stack's Leases; empty if there is none, or this user may not read them."""
    from devtools.app.locks import lease_namespaces
    from devtools.locks.lease import find_holder

    for namespace in lease_namespaces(stack):
        with contextlib.suppress(DevtoolsError):
            if holder := find_holder(kube, namespace, stack.name):
                return str(holder)
    return ""


def plan_notices(plan: Plan, values: Mapping[ReleaseId, Mapping[str, Any]], environment: str) -> Iterator[Notice]:
    """Warn of releases that no layer declares any more, and of upgrades that render differently each time."""
    yield from undeclared_notices(plan, environment)
    yield from random_notices(plan, values)


def undeclared_notices(plan: Plan, environment: str) -> Iterator[Notice]:
    """Warn of releases that no layer declares any more."""
    if plan.undeclared:
        names, verb = ", ".join(map(str, plan.undeclared)), "is" if len(plan.undeclared) == 1 else "are"
        message = f"{names} {verb} on the cluster, but no longer declared"
        command = f"invoke down --undeclared{f' --env {environment}' if environment else ''}"
        yield Notice(level="warning", message=f"{message}; to uninstall: {command}")


def random_notices(plan: Plan, values: Mapping[ReleaseId, Mapping[str, Any]]) -> Iterator[Notice]:
    """Return a warning for each release that will be upgraded and whose templates render differently each time.

    Unchanged releases are not checked: they are not rendered again, whatever their templates call.
    """
    upgrades = [step for step in plan.steps if step.action is Action.UPGRADE and not step.sweep]
    if not upgrades:
        return
    from devtools.charts.random_functions import describe, random_templates

    for step in upgrades:
        if found := list(describe(random_templates(step.release.chart.path, values[step.id]))):
            what = shortened(found, separator="; ")
            message = f"may render differently each time ({what}): this upgrade may change the generated values"
            yield Notice(level="warning", message=message, release=str(step.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderingFailure:
    """A chart that helm cannot render; `is_certain` if no cluster could change that."""

    release: ReleaseId
    notice: Notice
    is_certain: bool


def rendering_failures(
    app: App,
    plan: Plan,
    values: Mapping[ReleaseId, Mapping[str, Any]],
    digests: Mapping[ReleaseId, str],
    emit: Callable[[Notice], None],
) -> list[RenderingFailure]:
    """Render the charts of the releases to sync, without the cluster; nothing if helm is not built yet.

    Releases that were rendered before from the same inputs are skipped. Of more than 50 releases, one of each chart is
    rendered, and a notice says so. A template that asks the cluster (`lookup`, `.Capabilities`) may fail only here.
    Emits a warning for each failure.
    """
    from devtools.rendering.rendered_before import RenderedBefore

    releases = [step.release for step in plan.steps if step.action in SYNCED and not step.is_on_stand_in]
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
        message = f"rendered one release of each chart, {len(charts)} of {len(releases)}; to render all: invoke check"
        emit(Notice(level="info", message=message))
        releases = list(charts.values())
    values, failures = _with_secrets(app, plan, values)
    locked = {failure.release for failure in failures}
    releases = [release for release in releases if release.id not in locked]
    from devtools.rendering.renderer import renderer

    with renderer(program, app.runner) as rendering:
        found = rendering.each(lambda release: _failure(rendering, release, values[release.id]), releases)
    for release, failure in zip(releases, found, strict=True):
        if failure is None:
            continue
        message = f"helm cannot render chart {release.chart.name}: {failure.text}"
        notice = Notice(level="warning", message=message, release=str(release.id))
        failures.append(RenderingFailure(release=release.id, notice=notice, is_certain=failure.is_certain))
    failed = {failure.release for failure in failures}
    before.add(keys[release.id] for release in releases if release.id not in failed)
    for item in failures:
        emit(item.notice)
    return failures


def _with_secrets(
    app: App, plan: Plan, values: Mapping[ReleaseId, Mapping[str, Any]]
) -> tuple[Mapping[ReleaseId, Mapping[str, Any]], list[RenderingFailure]]:
    """Return decrypted values; if a key is missing, a warning for each release that is not rendered because of it."""
    from devtools.app.stack_cache import with_decrypted

    try:
        return with_decrypted(app, plan, values, {}), []
    except ConfigError as error:
        why = "; ".join(str(problem.where.file) for problem in error.problems)
    locked = [step.id for step in plan.steps if step.action in SYNCED and step.release.secret_files]
    message = f"cannot be rendered here, because encrypted values cannot be decrypted ({why}): invoke secrets"
    notices = [Notice(level="warning", message=message, release=str(name)) for name in locked]
    return values, [
        RenderingFailure(release=name, notice=notice, is_certain=False)
        for name, notice in zip(locked, notices, strict=True)
    ]


def _failure(rendering: Renderer, release: Release, values: Mapping[str, Any]) -> HelmFailure | None:
    """Return why helm cannot render a release; None if it can."""
    from devtools.rendering.renderer import RenderingFailed

    try:
        rendering.offline(release, values)
    except RenderingFailed as error:
        return error.failure
    return None
