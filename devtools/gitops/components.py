"""Makes the components that engines export from a stack, as one environment sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from devtools.base.machine_yaml import yaml_text
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError, Problem, config_error
from devtools.gitops.component import ChartInfo, Component, KindInfo, Note, Place, ValueFile
from devtools.gitops.waves import exported_edges, waves_of
from devtools.model import Layer, Release, ReleaseId, Stack

_EXISTING = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})  # in every cluster
_SAME = (  # keys of a release that its component has unchanged
    *("contract", "ignore", "timeout", "history", "wait", "on_failure", "labels", "smoke", "optional", "secrets"),
    *("argocd", "flux"),
)
VALUES = "values.yaml"  # the inline values of a component, next to its component.yaml


def components_of(
    stack: Stack,
    settings: GitopsSettings,
    charts: Mapping[str, ChartInfo],
    place: Place,
    *,
    namespaces: Collection[str] = (),
) -> tuple[Component, ...]:
    """Return the exported components of an environment, by wave and then as declared.

    `namespaces` are those that a release of the stack declares as objects. Raises ConfigError with every release that
    cannot be exported.
    """
    members = [release for release in stack.releases() if _is_exported(stack.layer(release.layer), release)]
    edges = exported_edges(stack, {release.id for release in members})
    waves = waves_of(edges)
    problems = [problem for release in members for problem in _problems(release)]
    if problems := [*problems, *_stack_problems(stack)]:
        raise config_error(problems)
    maker = _Maker(stack, settings, charts, place, members, {*namespaces, *_EXISTING}, waves)
    found = [maker.component(release, edges[release.id]) for release in members]
    check_names(found)
    return tuple(sorted(found, key=lambda component: component.wave))


def disabled_notes(stack: Stack) -> tuple[Note, ...]:
    """Return a note for each release that this environment leaves out of the export, with the reason."""
    notes = []
    for release in stack.releases():
        layer = stack.layer(release.layer)
        why = f"not exported: {release.disabled_by}" if not release.installed else ""
        if not why and not (release.gitops and layer.gitops):
            why = "not exported: gitops: false"
        if why:
            notes.append(Note(component=f"{stack.environment.name}/{release.id}", message=why))
    return tuple(notes)


def _is_exported(layer: Layer, release: Release) -> bool:
    return release.installed and release.gitops and layer.gitops


def _stack_problems(stack: Stack) -> Iterable[Problem]:
    """Yield notes about the commands around a run, which an exported environment does not have."""
    for key, hooks in (("before", stack.before), ("after", stack.after)):
        for hook in hooks:
            message = f"a command runs {key} each run in {stack.environment.name}, which no controller does"
            yield Problem(where=hook.where, message=message, hint=f"limit it with environments: [local] under '{key}'")


def _problems(release: Release) -> Iterable[Problem]:
    """Yield notes about features of a release that no controller supports."""
    for key, hooks in (("before", release.before), ("after", release.after)):
        for hook in hooks:
            message = f"release {release.id} runs a command {key} its sync, which no controller does"
            hint = f"limit it with environments: [local] under '{key}', or set gitops: false"
            yield Problem(where=hook.where, message=message, hint=hint)
    if "project" in release.argocd:
        message = f"release {release.id} sets argocd.project, which no ApplicationSet can change"
        yield Problem(where=release.where, message=message, hint="set 'project' of the layer")


def check_names(components: Iterable[Component]) -> None:
    """Raise ConfigError if two components of an environment have the same name."""
    first: dict[tuple[str, str], Component] = {}
    for component in components:
        other = first.setdefault((component.environment, component.name), component)
        if other is not component:
            both = f"{other.release} and {component.release}"
            message = f"component {component.name} in {component.environment} would be two releases: {both}"
            raise ConfigError(
                message, hint="rename one of them: names are made of namespace and name, or tenant and name"
            )


class _Maker:
    """Makes components from releases."""

    def __init__(
        self,
        stack: Stack,
        settings: GitopsSettings,
        charts: Mapping[str, ChartInfo],
        place: Place,
        members: Sequence[Release],
        namespaces: Collection[str],
        waves: Mapping[ReleaseId, int],
    ) -> None:
        """`members` are all exported releases, `namespaces` those that no release must create."""
        self._stack = stack
        self._settings = settings
        self._charts = charts
        self._place = place
        self._namespaces = namespaces
        self._rank = {release.id: (waves[release.id], index) for index, release in enumerate(members)}
        self._owners: dict[KindInfo, tuple[int, int]] = {}  # the rank of the first release that installs a CRD
        for release in sorted(members, key=lambda release: self._rank[release.id]):
            for crd in charts[release.chart.key].crds:
                self._owners.setdefault(crd, self._rank[release.id])
        names = Counter(release.name for release in members)
        self._shared = {name for name, count in names.items() if count > 1}

    def component(self, release: Release, needs: tuple[ReleaseId, ...]) -> Component:
        """Return the component of one release."""
        layer = self._stack.layer(release.layer)
        chart = self._charts[release.chart.key]
        environment = self._stack.environment.name
        name = f"{release.namespace}-{release.name}" if release.name in self._shared else release.name
        tier = layer.tier or layer.name
        own = {crd.group for crd in chart.crds}
        return Component(
            release=release.id,
            name=name,
            environment=environment,
            layer=layer.name,
            tier=tier,
            project=layer.project or self._settings.project,
            team=release.team or self._settings.team,
            stage=layer.stage,
            wave=self._rank[release.id][0],
            needs=needs,
            chart=chart.source,
            chart_name=chart.name,
            **{key: getattr(release, key) for key in _SAME},
            value_files=tuple(self._value_files(release, directory_of(environment, tier, name))),
            creates_namespace=release.create_namespace and release.namespace not in self._namespaces,
            brings_crds=bool(chart.crds),
            crds_in_directory=chart.crds_in_directory,
            large_crds=chart.large_crds,
            needs_foreign_crds=any(kind.group not in own for kind in chart.custom_kinds),
            skips_crds=chart.crds_in_directory and self._is_owned_elsewhere(release),
            kinds=chart.kinds,
            post_sync=chart.post_sync if release.smoke else "",
            secret_store=self._settings.secret_store,
        )

    def _is_owned_elsewhere(self, release: Release) -> bool:
        """Return whether an earlier release installs the CRDs of a release's chart."""
        rank = self._rank[release.id]
        return all(self._owners[crd] < rank for crd in self._charts[release.chart.key].crds)

    def _value_files(self, release: Release, directory: PurePosixPath) -> Iterable[ValueFile]:
        """Yield the inline values, then the overlays that exist: weakest first."""
        if release.values:
            path = self._place.below_out(directory / VALUES)
            yield ValueFile(path=path, content=yaml_text(release.values).encode())
        for file in (*release.values_files, *release.secret_files):
            yield ValueFile(path=self._place.root / _relative(file, self._stack.root))


def directory_of(environment: str, tier: str, name: str) -> PurePosixPath:
    """Return the directory of a component below --out."""
    return PurePosixPath("environments", environment, "components", tier, name)


def _relative(file: Path, root: Path) -> PurePosixPath:
    if not file.is_relative_to(root):
        raise ConfigError(f"{file} is outside the repository", hint="controllers read values from the repository only")
    return PurePosixPath(file.relative_to(root).as_posix())
