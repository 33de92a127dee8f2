"""Loading Tiltfiles in the real Tilt, which needs neither a cluster nor Docker for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.clusters.provider import ProviderName
from tests.kits.tilt import ROOT, THREE, TILTFILE, Repo, made
from tests.tilt.real import load, need_tilt
from tests.tilt.test_infra import PATH, own

need_tilt()
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n",
    "templates/web.yaml": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n"
        "  selector: {matchLabels: {app: web}}\n"
        "  template:\n    metadata: {labels: {app: web}}\n"
        "    spec: {containers: [{name: web, image: web, ports: [{containerPort: 80}]}]}\n"
    ),
    "templates/tests/try.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: try}\n",
}
DOCKERFILE = {"apps/web/Dockerfile": "FROM scratch\n"}


def chart(directory: str) -> dict[str, str]:
    return {f"{directory}/{name}": text for name, text in CHART.items()}


@pytest.fixture
def cache(tool: Callable[[str], Path]) -> dict[str, str]:
    """The environment in which `invoke specs` finds the pinned helm."""
    program = tool("helm")
    build = next((path for path in program.parents if path.name == "toolchain"), None)
    return {"PATH": str(program.parent)} if build is None else {"DEVTOOLS_CACHE": str(build.parent)}


def repo(
    tmp_path: Path, cache: dict[str, str], files: dict[str, str], tiltfile: str, provider: ProviderName = "k3d"
) -> Repo:
    """A repository whose specs name the pinned helm."""
    found = replace(made(tmp_path, {**THREE, **files}, tiltfile, provider=provider), env=cache)
    found.specs()
    return found


@pytest.mark.parametrize("provider", ["k3d", "kwok"])
def test_this_repositorys_tiltfile_loads(tmp_path: Path, cache: dict[str, str], provider: ProviderName) -> None:
    found = own(tmp_path)
    found = Repo(root=found.root, provider=provider, env=cache)
    found.specs()
    loaded = load(found.root)
    assert loaded.code == 0, loaded.err
    assert "not used" not in loaded.err
    hello = loaded.manifests["hello"]
    assert len(hello.get("ImageTargets") or []) == (1 if provider == "k3d" else 0)
    assert set(hello["ResourceDependencies"]) >= {"ameide_core_proto", "infra:10-bootstrap"}


@pytest.mark.parametrize("provider", ["k3d", "kwok"])
def test_the_examples_of_the_documents_load(tmp_path: Path, cache: dict[str, str], provider: ProviderName) -> None:
    page = (ROOT / "docs/tilt.md").read_text()
    blocks = re.findall(r"```python\n# Tiltfile\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 2
    for number, block in enumerate(blocks):
        files = {**chart("apps/web/chart"), **DOCKERFILE}
        loaded = load(repo(tmp_path / str(number), cache, files, block, provider).root)
        assert loaded.code == 0, loaded.err
        assert "not used" not in loaded.err
        assert set(loaded.manifests["web"]["ResourceDependencies"]) >= set(PATH)


def test_a_chart_that_cannot_be_rendered_fails_its_resource(tmp_path: Path, cache: dict[str, str]) -> None:
    broken = {"bad/Chart.yaml": CHART["Chart.yaml"], "bad/templates/x.yaml": '{{ fail "no such luck" }}\n'}
    tiltfile = TILTFILE + "app('bad', chart='bad')\napp('gone', chart='gone')\napp('web', chart='good')\n"
    loaded = load(repo(tmp_path, cache, {**broken, **chart("good")}, tiltfile).root)
    assert loaded.code == 0, loaded.err
    assert "Deployment" in str(loaded.manifests["web"]["DeployTarget"])
    assert "name: try" not in str(loaded.manifests["web"]["DeployTarget"]), "tests of the chart are not deployed"
    for name, reason in (("bad", "no such luck"), ("gone", "gone")):
        command = loaded.command(name)
        assert command[:2] == ["sh", "-c"]
        assert command[-1].startswith(f"app('{name}') cannot be deployed: ")
        assert reason in command[-1]


def test_without_the_pinned_helm_only_the_apps_with_charts_fail(tmp_path: Path) -> None:
    cache = {"DEVTOOLS_CACHE": str(tmp_path / "cache"), "PATH": "/nonexistent"}
    found = repo(tmp_path / "repo", cache, chart("web"), TILTFILE + "app('web', chart='web')\n")
    loaded = load(found.root)
    assert loaded.code == 0, loaded.err
    assert loaded.command("web")[-1].endswith("the pinned helm is missing; type: invoke toolchain, then: invoke specs")
    assert set(loaded.manifests) >= set(PATH)


def test_a_chart_has_its_namespace_values_and_subcharts(tmp_path: Path, cache: dict[str, str]) -> None:
    files = {
        **chart("web"),
        "web/values.yaml": "one: '1'\ntwo: '2'\nthree: '3'\n",
        "web/templates/c.yaml": (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
            "data: {all: '{{ .Values.one }}{{ .Values.two }}{{ .Values.three }} {{ .Release.Name }}'}\n"
        ),
        "more.yaml": "two: b\n",
    }
    tiltfile = f"{TILTFILE}app('w', chart='web', workload='web', namespace='ns', values='more.yaml', set=['three=c'])\n"
    loaded = load(repo(tmp_path, cache, files, tiltfile).root)
    assert loaded.code == 0, loaded.err
    everything = str(loaded.manifests)
    assert "1bc w" in everything
    assert "namespace: ns" in everything


def test_tilt_finds_helm_on_its_own_path_again_afterwards(tmp_path: Path, cache: dict[str, str]) -> None:
    look = "print('same', before == os.getenv('PATH'))\n"
    tiltfile = f"{TILTFILE}before = os.getenv('PATH')\napp('web', chart='web')\n{look}"
    loaded = load(repo(tmp_path, cache, chart("web"), tiltfile).root)
    assert "same True" in loaded.err, loaded.err


@pytest.mark.parametrize(("word", "enabled"), [("infra:20-operators", PATH[:3]), ("web", (*PATH, "web"))])
def test_one_resource_is_enabled_with_what_it_needs(tmp_path: Path, word: str, enabled: tuple[str, ...]) -> None:
    """And with infra:specs, without which changes are not noticed, and with the buttons of its layers."""
    loaded = load(made(tmp_path).root, word)
    assert loaded.code == 0, loaded.err
    layers = [name for name in enabled if name.startswith("infra:")]
    buttons = [f"{name}:{button}" for name in layers for button in ("force", "only-test", "drift")]
    assert set(loaded.enabled) == {*enabled, *buttons, "infra:specs"}
