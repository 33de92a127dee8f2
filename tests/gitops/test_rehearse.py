"""`invoke gitops.rehearse`: whole waves instead of needs."""

from __future__ import annotations

from pathlib import Path

from devtools.app.options import Options
from devtools.commands.takeover.rehearse import rehearse, with_namespaces
from devtools.errors import ExitCode
from devtools.gitops.components import exported_edges, waves_of
from devtools.model import Facts
from devtools.planning.plan import Selection, in_waves, make_plan
from tests.kits.shop import make_shop
from tests.kits.stack import load, repository
from tests.kits.verbs import call


def test_every_release_waits_for_the_whole_wave_before_its_own(tmp_path: Path) -> None:
    from dataclasses import replace

    from devtools.app.environment import real_app
    from devtools.commands.gitops.sides import side_of

    side = side_of(replace(real_app("dev"), cwd=make_shop(tmp_path / "shop")), "dev")
    stack = side.plan.stack
    waves = waves_of(exported_edges(stack, set(side.steps)))
    whole = Selection(layers=tuple(layer.name for layer in stack.layers))
    plan = in_waves(make_plan(stack, whole, Facts(), side.digests), waves)
    done: dict[object, int] = {}
    for step in plan.steps:
        wave = waves[step.id]
        earlier = {name for name, number in waves.items() if number == wave - 1}
        assert set(step.needs) == earlier
        done[step.id] = max((done[name] + 1 for name in step.needs), default=0)
    assert done == dict(waves)
    assert [waves[step.id] for step in plan.steps] == sorted(waves.values())


def test_namespaces_that_must_exist_are_made_there(tmp_path: Path) -> None:
    release = "{name: a, namespace: ns, chart: platform/web, create_namespace: false}"
    stack = load(repository(tmp_path, {"layers/10-a.yaml": f"stage: a\nreleases: [{release}]\n"}))
    assert stack.must_exist() == {"ns"}
    assert with_namespaces(stack).must_exist() == set()


def test_an_environment_that_is_not_exported_is_refused(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "shop")
    environ = {"DEVTOOLS_CACHE": str(tmp_path / "cache"), "DEVTOOLS_STATE": str(tmp_path / "state")}
    done = call(lambda app: rehearse(app, Options(), keep_cluster=False), "text", environ=environ, cwd=root)
    assert done.code is ExitCode.CONFIG
    assert "environment 'local' is not exported" in done.err
    assert not (tmp_path / "state").exists()
