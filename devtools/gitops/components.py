"""Makes the components that engines export from a stack, as one environment sees it, and computes their waves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from devtools.base.machine_yaml import yaml_text
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError, Problem, config_error
from devtools.gitops.component import ChartInfo, Component, KindInfo, Note, Place, ValueFile
from devtools.model import Release, ReleaseId, Stack
from devtools.planning.graph import Edges, edges_of, in_order

_EXISTING = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})  # in every cluster
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
    members = [release for release in stack.releases() if not _left_out(stack, release)]
    edges = exported_edges(stack, {release.id for release in members})
    if problems := [*(problem for release in members for problem in _problems(release)), *_stack_problems(stack)]:
        raise config_error(problems)
    waves = waves_of(edges)
    owners: dict[KindInfo, ReleaseId] = {}  # the first release that installs a CRD
    for release in sorted(members, key=lambda release: waves[release.id]):
        for crd in charts[release.chart.key].crds:
            owners.setdefault(crd, release.id)
    names = Counter(release.name for release in members)

    def component(release: Release) -> Component:
        layer, chart = stack.layer(release.layer), charts[release.chart.key]
        name = f"{release.namespace}-{release.name}" if names[release.name] > 1 else release.name
        tier = layer.tier or layer.name
        directory = directory_of(stack.environment.name, tier, name)
        return Component(
            release=release,
            chart=chart,
            name=name,
            environment=stack.environment.name,
            tier=tier,
            project=layer.project or settings.project,
            team=release.team or settings.team,
            stage=layer.stage,
            wave=waves[release.id],
            needs=edges[release.id],
            value_files=tuple(_value_files(release, place.out / directory, stack.root, place.root)),
            creates_namespace=release.create_namespace and release.namespace not in {*namespaces, *_EXISTING},
            skips_crds=chart.crds_in_directory and release.id not in {owners[crd] for crd in chart.crds},
            secret_store=settings.secret_store,
        )

    found = tuple(map(component, members))
    check_names(found)
    return tuple(sorted(found, key=lambda item: item.wave))


def exported_edges(stack: Stack, members: Collection[ReleaseId]) -> dict[ReleaseId, tuple[ReleaseId, ...]]:
    """Return the exported releases that each exported release waits for: the edges of the plan.

    An edge to a release that is not exported becomes edges to the releases which that one waits for.
    """
    enabled = {release.id for release in stack.releases() if release.installed}
    edges = edges_of(stack, enabled)
    through: dict[ReleaseId, tuple[ReleaseId, ...]] = {}
    for name in in_order(edges, edges):
        found: list[ReleaseId] = []
        for need in edges[name]:
            found += [need] if need in members else through[need]
        through[name] = tuple(dict.fromkeys(found))
    return {name: through[name] for name in edges if name in members}


def waves_of(edges: Edges) -> Mapping[ReleaseId, int]:
    """Return the length of the longest path of edges below each release; 0 for one that waits for nothing."""
    waves: dict[ReleaseId, int] = {}
    for name in in_order(edges, edges):
        waves[name] = max((waves[need] + 1 for need in edges[name]), default=0)
    return waves


def disabled_notes(stack: Stack) -> Iterable[Note]:
    """Yield a note for each release that this environment leaves out of the export, with the reason."""
    for release in stack.releases():
        if why := _left_out(stack, release):
            yield Note(f"not exported: {why}", f"{stack.environment.name}/{release.id}")


def _left_out(stack: Stack, release: Release) -> str:
    """Return why an environment leaves a release out of the export; empty if it is exported."""
    if not release.installed:
        return release.disabled_by
    return "" if release.gitops and stack.layer(release.layer).gitops else "gitops: false"


def _stack_problems(stack: Stack) -> Iterable[Problem]:
    """Yield problems of the commands around a run, which an exported environment does not have."""
    for key, hooks in (("before", stack.before), ("after", stack.after)):
        for hook in hooks:
            message = f"a command runs {key} each run in {stack.environment.name}, which no controller does"
            yield Problem(where=hook.where, message=message, hint=f"limit it with environments: [local] under '{key}'")


def _problems(release: Release) -> Iterable[Problem]:
    """Yield problems of features of a release that no controller supports."""
    for key, hooks in (("before", release.before), ("after", release.after)):
        for hook in hooks:
            message = f"release {release.id} runs a command {key} its sync, which no controller does"
            hint = f"limit it with environments: [local] under '{key}', or set gitops: false"
            yield Problem(where=hook.where, message=message, hint=hint)
    if "project" in release.argocd:
        message = f"release {release.id} sets argocd.project, which no ApplicationSet can change"
        yield Problem(where=release.where, message=message, hint="set 'project' of the layer")


def _value_files(release: Release, directory: PurePosixPath, root: Path, shown: PurePosixPath) -> Iterable[ValueFile]:
    """Yield the inline values, below `directory`, then the overlays that exist: weakest first."""
    if release.values:
        yield ValueFile(path=directory / VALUES, content=yaml_text(release.values).encode())
    for file in (*release.values_files, *release.secret_files):
        if not file.is_relative_to(root):
            hint = "controllers read values from the repository only"
            raise ConfigError(f"{file} is outside the repository", hint=hint)
        yield ValueFile(path=shown / file.relative_to(root).as_posix())


def check_names(components: Iterable[Component]) -> None:
    """Raise ConfigError if two components of an environment have the same name."""
    first: dict[tuple[str, str], Component] = {}
    for component in components:
        other = first.setdefault((component.environment, component.name), component)
        if other is not component:
            both = f"{other.release.id} and {component.release.id}"
            message = f"component {component.name} in {component.environment} would be two releases: {both}"
            raise ConfigError(
                message, hint="rename one of them: names are made of namespace and name, or tenant and name"
            )


def directory_of(environment: str, tier: str, name: str) -> PurePosixPath:
    """Return the directory of a component below --out."""
    return PurePosixPath("environments", environment, "components", tier, name)
