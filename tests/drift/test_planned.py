"""What a prediction costs: helm is started for what changes only, and once for each chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from devtools.drift.changes import ReleaseChange
from devtools.drift.planned import predict
from devtools.model import Action, Release
from devtools.process.runner import Cancel
from devtools.rendering.renderer import renderer
from devtools.rendering.steps import render_steps
from tests.kits.run import Bench, Recorder, config_map, plan, step

pytestmark = pytest.mark.cluster
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {a: {{ .Values.a | default "1" | quote }}, served: {{ .Capabilities.APIVersions.Has "apps/v1" | quote }}}
"""


def predicted(bench: Bench, values: Mapping[str, Any], *releases: Release) -> tuple[list[ReleaseChange], list[str]]:
    """What these upgrades change, and which programs were run for it."""
    made = plan(*(step(release, action=Action.UPGRADE) for release in releases))
    every = {release.id: values for release in releases}
    runner, kube = Recorder(Cancel()), bench.kube
    with renderer(bench.helm, runner, bench.cluster.kubeconfig, bench.cluster.context) as rendering:
        found = render_steps(rendering, made, every, kube.served(), kube.version())
    return predict(kube, made, found, every, Cancel()), runner.verbs()


def test_helm_is_started_once_for_each_release_that_changes(bench: Bench) -> None:
    ref = bench.chart("plain", config_map("plain"))
    (ref.path / "templates" / "all.yaml").write_text(TEMPLATE.partition(", served")[0] + "}\n")
    one, other = bench.release(ref, name="one"), bench.release(ref, name="other")
    assert bench.run(plan(step(one), step(other))).code == 0
    (change,), ran = predicted(bench, {"a": "2"}, one)
    assert ran == ["helm template"]
    ((field,),) = (item.fields for item in change.objects)
    assert (field.change.path, field.change.live, field.change.declared) == (".data.a", "1", "2")
    changes, ran = predicted(bench, {}, one, other)
    assert ([item.objects for item in changes], len(ran)) == ([(), ()], 2)


def test_charts_that_read_the_cluster_are_rendered_there(bench: Bench) -> None:
    ref = bench.chart("reads", config_map("reads"))
    template = ref.path / "templates" / "all.yaml"
    template.write_text(TEMPLATE)
    release = bench.release(ref, name="reads")
    assert bench.run(plan(step(release))).code == 0
    (change,), ran = predicted(bench, {"a": "2"}, release)
    assert ran == ["helm upgrade"]  # its dry run
    assert [field.change.path for field in change.objects[0].fields] == [".data.a"]
    template.write_text(TEMPLATE.replace("{a: ", "{b: {{ randAlpha 9 }}, a: "))
    (change,), ran = predicted(bench, {"a": "2"}, release)
    assert ran == ["helm upgrade", "helm upgrade"]
    assert {field.change.path: field.varies for field in change.objects[0].fields} == {
        ".data.a": False,
        ".data.b": True,
    }
