"""`plan --diff` over our own charts: what it predicts is what helm then changes, and nothing is left after it.

On an API server without controllers, so that nobody but helm changes anything.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.clusters.provider import Cluster
from devtools.config.values import merge
from devtools.diff.difference import changes
from devtools.drift.changes import ReleaseChange
from devtools.drift.planned import predict
from devtools.errors import ExitCode
from devtools.helm.revision import declared
from devtools.model import Action, Environment, ObjectRef, Plan, Release
from devtools.process.runner import Cancel, SubprocessRunner
from devtools.project import Project
from devtools.rendering.renderer import Rendered, renderer
from devtools.rendering.steps import StepRendering, render_steps
from tests.kits.run import Bench, plan, step
from tests.platform.support import Kubectl, Tool

LOCAL = Environment(name="local")
LEAVES = (4, 4, 2, 2, *[1] * 16)  # values that change at once, in each try
Values = Mapping[str, Any]


@pytest.fixture(scope="session")
def local(app: App) -> dict[str, Release]:
    """The releases of our own charts, by name."""
    found = Project(app).stack().releases()
    return {release.name: release for release in found if release.chart.kind == "local"}


@pytest.fixture
def alone(kinds_server: Kubectl, tool: Tool, tmp_path: Path) -> Bench:
    """A bench on the API server without controllers."""
    name = kinds_server.context.removeprefix("kwok-")
    cluster = Cluster(
        name=name,
        provider="kwok",
        context=kinds_server.context,
        kubeconfig=kinds_server.kubeconfig,
        simulated=True,
        real_node="none",
    )
    return Bench(cluster=cluster, helm=tool("helm"), namespace="default", root=tmp_path)


def leaves(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*at, str(key)))
    elif isinstance(value, bool | int | str):
        yield at, value


def other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((1, 2))
    return f"{value}{rng.choice(('x', '1', '-a'))}"


def mutated(values: Values, whole: Values, count: int, rng: random.Random) -> dict[str, Any]:
    """The values with some of their leaves changed, also of the chart's defaults."""
    found = dict(values)
    every = list(leaves(whole))
    for path, value in rng.sample(every, min(count, len(every))):
        at: dict[str, Any] = found
        for key in path[:-1]:
            at[key] = dict(at.get(key) or {})
            at = at[key]
        at[path[-1]] = other(value, rng)
    return found


class Case:
    """One release on the cluster, planned and synced with other values."""

    def __init__(self, bench: Bench, release: Release) -> None:
        self.bench, self.kube = bench, bench.kube
        self.release = replace(release, wait=False, contract=(), before=(), needs=(), smoke=False, timeout=300.0)

    def planned(self, values: Values, action: Action) -> tuple[Plan, StepRendering, ReleaseChange]:
        made = plan(step(self.release, action=action, take=True, digest=str(zlib.crc32(repr(values).encode()))))
        runner = SubprocessRunner({}, Cancel())
        where = self.bench.cluster
        every = {self.release.id: values}
        with renderer(self.bench.helm, runner, where.kubeconfig, where.context) as rendering:
            found = render_steps(rendering, made, every, self.kube.served(), self.kube.version())
        (change,) = predict(self.kube, made, found, every, Cancel())
        return made, found[self.release.id], change

    def sync(self, made: Plan, values: Values) -> None:
        ran = self.bench.run(made, {self.release.name: values})
        assert ran.code is ExitCode.OK, [event for event in ran.events if "failed" in str(event)]

    def lacks_namespaces(self, rendered: Rendered | None) -> bool:
        """Create the namespaces of objects in others than the release's: earlier releases bring them.

        Returns whether there were any, so that what was predicted without them is not true.
        """
        objects = rendered.objects if rendered else ()
        own = {str(item["metadata"]["name"]) for item in objects if item["kind"] == "Namespace"}
        names = {str(item["metadata"].get("namespace") or "") for item in objects} - own - {""}
        missing = [name for name in names if self.kube.get(f"/api/v1/namespaces/{name}") is None]
        for name in missing:
            self.kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return bool(missing)

    def objects(self, *rendered: Rendered | None) -> dict[ObjectRef, dict[str, Any] | None]:
        """The live objects that these declare."""
        found: dict[ObjectRef, dict[str, Any] | None] = {}
        for one in rendered:
            for body in declared(one.objects if one else (), self.release.id, {}).objects:
                resource = self.kube.resource(str(body["kind"]), str(body["apiVersion"]))
                assert resource, body["kind"]
                metadata = body["metadata"]
                namespace = str(metadata.get("namespace") or self.release.namespace) if resource.namespaced else ""
                ref = ObjectRef(str(body["apiVersion"]), str(body["kind"]), namespace, str(metadata["name"]))
                found[ref] = self.kube.get(resource.path(namespace, ref.name))
        return found


def predicted(change: ReleaseChange) -> set[str]:
    found = set()
    for item in change.objects:
        if item.does == "change":
            found |= {f"{item.ref} {field.change.path}" for field in item.fields}
        elif item.does != "keep":
            found.add(f"{item.does} {item.ref}")
    return found


def happened(
    before: Mapping[ObjectRef, dict[str, Any] | None], after: Mapping[ObjectRef, dict[str, Any] | None]
) -> set[str]:
    found = set()
    for ref in {*before, *after}:
        old, new = before.get(ref), after.get(ref)
        if old and new:
            found |= {f"{ref} {change.path}" for change in changes(old, new, "helm")}
        elif old or new:
            found.add(f"{'add' if new else 'remove'} {ref}")
    return found


def other_values(case: Case, release: Release, values: Values, seed: int) -> tuple[Values, Any]:
    """Other values with which the chart renders, and what is predicted for them."""
    whole = merge(release, LOCAL, charts_default=True).data
    for number, count in enumerate(LEAVES):
        changed = mutated(values, whole, count, random.Random(f"{release.name} {seed} {number}"))
        made, rendering, change = case.planned(changed, Action.UPGRADE)
        if rendering.rendered and not any(item.does == "refuse" for item in change.objects):
            return changed, (made, rendering, change)
    pytest.skip("no values with which it renders")


NAMES = sorted({path.name for path in (Path(__file__).parents[2] / "charts/platform").iterdir()})


@pytest.mark.parametrize("chart", NAMES)
def test_what_is_predicted_happens(chart: str, local: dict[str, Release], alone: Bench) -> None:
    release = next((item for item in local.values() if item.chart.name == f"platform/{chart}"), None)
    if release is None:
        pytest.skip("no release of the platform is made from it")
    case, values = Case(alone, release), merge(release, LOCAL).data
    made, first, change = case.planned(values, Action.INSTALL)
    if case.lacks_namespaces(first.rendered):
        made, first, change = case.planned(values, Action.INSTALL)
    before = case.objects(first.rendered)
    case.sync(made, values)
    after = case.objects(first.rendered)
    added = {item for item in predicted(change) if not item.startswith("add Namespace/")}
    assert added == {item for item in happened(before, after) if not item.startswith("add Namespace/")}
    _, _, quiet = case.planned(values, Action.UPGRADE)
    assert predicted(quiet) == set()
    changed, (again, second, change) = other_values(case, release, values, 1)
    before = case.objects(first.rendered, second.rendered)
    case.sync(again, changed)
    after = case.objects(first.rendered, second.rendered)
    assert predicted(change) == happened(before, after)
    _, _, quiet = case.planned(changed, Action.UPGRADE)
    assert predicted(quiet) == set()
