"""Renders the steps of a plan as helm will at their turn, with the kinds that earlier steps install."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from devtools.charts.crds import ChartObject
from devtools.charts.packaged.prerequisites import prerequisites
from devtools.charts.random_functions import Uses, uses_of
from devtools.diff.effects import CRD
from devtools.errors import ConfigError, DevtoolsError
from devtools.kube.discovery import Resource
from devtools.model import SYNCED, Action, Plan, ReleaseId, Step
from devtools.planning.plan import behind
from devtools.rendering.renderer import Capabilities, Rendered, Renderer, RenderingFailed

Values = Mapping[ReleaseId, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRendering:
    """A step's rendered chart; `failure` says why it cannot be rendered.

    `again` is a second rendering, of a chart whose templates may render differently each time. `blind`: a template
    that reads the cluster was rendered without it.
    """

    rendered: Rendered | None = None
    again: Rendered | None = None
    failure: DevtoolsError | None = None
    crds: tuple[ChartObject, ...] = ()  # of `crds/`
    blind: bool = False

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds that its CRDs will serve, as `group/version` and `group/version/Kind`."""
        rendered = self.rendered.objects if self.rendered else ()
        return api_versions([*(item.data for item in self.crds), *rendered])


Renderings = Mapping[ReleaseId, StepRendering]


def api_versions(objects: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the kinds that the CRDs among these objects will serve, as helm's capabilities name them."""
    found: dict[str, None] = {}
    for item in objects:
        if item.get("kind") != CRD:
            continue
        spec = item.get("spec") or {}
        for version in spec.get("versions") or ():
            if version.get("served"):
                label = f"{spec.get('group')}/{version.get('name')}"
                found |= dict.fromkeys((label, f"{label}/{(spec.get('names') or {}).get('kind')}"))
    return tuple(found)


def render_steps(
    renderer: Renderer,
    plan: Plan,
    values: Values,
    served: Sequence[Resource] | None,
    kube_version: str = "",
    memory: MutableMapping[Any, StepRendering] | None = None,
) -> dict[ReleaseId, StepRendering]:
    """Render every step that installs or upgrades; `served` is None without a cluster.

    Charts that read the kinds the cluster serves are rendered second, when the kinds from earlier steps are known. Each
    chart is rendered once, and once more if its templates may render differently each time. `memory` holds renderings
    for other plans: the same inputs are not rendered again.
    """
    pairs = ((item.api_version, f"{item.api_version}/{item.kind}") for item in served or ())
    names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    known = Capabilities(kube_version=kube_version, api_versions=names)
    return _Steps(renderer, plan, values, known, served is not None, {} if memory is None else memory).all()


@dataclass(slots=True)
class _Steps:
    _renderer: Renderer
    _plan: Plan
    _values: Values
    _cluster: Capabilities
    _has_cluster: bool
    _memory: MutableMapping[Any, StepRendering]
    _found: dict[ReleaseId, StepRendering] = field(default_factory=dict)

    def all(self) -> dict[ReleaseId, StepRendering]:
        steps = [step for step in self._plan.steps if step.action in SYNCED and not step.sweep]
        looked = self._renderer.each(self._look, steps)
        uses = {step.id: found for step, found in zip(steps, looked, strict=True)}
        reading = {
            name
            for name, found in uses.items()
            if not isinstance(found, ConfigError) and (found[0].live or found[0].capabilities)
        }
        for wave in self._waves(steps, reading):
            made = self._renderer.each(lambda step: self._render(step, uses[step.id]), wave)
            self._found |= {step.id: item for step, item in zip(wave, made, strict=True)}
        return {step.id: self._found[step.id] for step in steps}

    def _waves(self, steps: Sequence[Step], reading: Collection[ReleaseId]) -> Iterator[list[Step]]:
        """Yield the steps that can be rendered together: those that read the cluster after the ones they need."""
        depth: dict[ReleaseId, int] = {}
        for step in self._plan.steps:
            below = (depth[name] + (name in reading) for name in step.needs if name in depth)
            depth[step.id] = max(below, default=0)
        wave = {step.id: depth[step.id] + 1 if step.id in reading else 0 for step in steps}
        for number in sorted(set(wave.values())):
            yield [step for step in steps if wave[step.id] == number]

    def _look(self, step: Step) -> tuple[Uses, tuple[ChartObject, ...]] | ConfigError:
        """Read the chart: which functions its templates use, and which CRDs it installs before them."""
        path, values = step.release.chart.path, self._values[step.id]
        try:
            return uses_of(path, values), prerequisites(step.release, values)
        except ConfigError as error:
            return error

    def _render(self, step: Step, found: tuple[Uses, tuple[ChartObject, ...]] | ConfigError) -> StepRendering:
        if isinstance(found, ConfigError):
            return StepRendering(failure=found)
        uses, crds = found
        key = (step.id, step.digest, self._coming(step, crds) if uses.capabilities else ())
        if key not in self._memory:
            self._memory[key] = self._made(step, uses, crds)
        return self._memory[key]

    def _made(self, step: Step, uses: Uses, crds: tuple[ChartObject, ...]) -> StepRendering:
        """Render one step, twice if its templates may render differently each time."""
        try:
            made = self._once(step, uses, crds)
            again = self._once(step, uses, crds).rendered if uses.random else None
        except RenderingFailed as error:
            return StepRendering(failure=error, crds=crds)
        return replace(made, again=again)

    def _once(self, step: Step, uses: Uses, crds: tuple[ChartObject, ...]) -> StepRendering:
        """Render on the cluster if that can make a difference, else offline; raises RenderingFailed."""
        coming = self._coming(step, crds) if uses.capabilities else ()
        refusal: RenderingFailed | None = None
        if self._has_cluster and (uses.live or uses.capabilities) and not coming:
            try:
                rendered = self._renderer.on_cluster(step.release, self._values[step.id], take=step.take)
                return StepRendering(rendered=rendered, crds=crds)
            except RenderingFailed as error:  # also if the cluster would refuse it: that is shown by object
                refusal = error
        names = (*self._cluster.api_versions, *coming) if uses.capabilities else ()
        known = replace(self._cluster, api_versions=names, upgrade=step.action is Action.UPGRADE)
        try:
            rendered = self._renderer.offline(step.release, self._values[step.id], known)
        except RenderingFailed as error:
            raise refusal or error from error
        return StepRendering(rendered=rendered, crds=crds, blind=uses.live and self._has_cluster)

    def _coming(self, step: Step, crds: tuple[ChartObject, ...]) -> tuple[str, ...]:
        """Return the kinds that will be served only when the steps that this one needs are done."""
        before = [self._found[one.id] for one in behind(self._plan, step) if one.id in self._found]
        every = [*api_versions(item.data for item in crds), *(name for item in before for name in item.kinds())]
        return tuple(name for name in dict.fromkeys(every) if name not in self._cluster.api_versions)
