"""Helm itself merges the files in Argo CD's order, and in Flux's, to the values that `invoke values` shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.config.values import chart_values, merge
from devtools.gitops.tree.read import read_tree
from devtools.gitops.verify import read_world
from devtools.gitops.verify.argocd import value_paths
from devtools.gitops.verify.flux import generators
from devtools.model import Environment, Release, Stack
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.gitops.flux.conftest import stacks
from tests.gitops.test_export import run
from tests.kits.shop import make_shop

ENVIRONMENTS = ("dev", "staging", "production")
Merge = Callable[[Release, tuple[Path, ...]], Any]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_shop(tmp_path_factory.mktemp("values") / "shop")
    for engine in ("argocd", "flux"):
        assert run(root, engine=engine).code == 0
    return root


@pytest.fixture(scope="module")
def exported(shop: Path) -> Mapping[str, Stack]:
    return stacks(shop)


@pytest.fixture(scope="module")
def helm_merge(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Merge:
    """What templates of the release's chart see, by the real Helm; the same files are merged once."""
    root = tmp_path_factory.mktemp("helm")
    runner = SubprocessRunner({"HOME": str(root)}, Cancel())
    known: dict[tuple[bytes, ...], Any] = {}

    def merged(release: Release, files: tuple[Path, ...]) -> Any:
        defaults = yaml.safe_dump(dict(chart_values(release.chart.path).data)).encode()
        key = (defaults, *(path.read_bytes() for path in files))
        if key not in known:
            chart = root / f"chart-{len(known)}"
            (chart / "templates").mkdir(parents=True)
            (chart / "Chart.yaml").write_text("apiVersion: v2\nname: echo\nversion: 0.1.0\n")
            (chart / "values.yaml").write_bytes(defaults)
            (chart / "templates" / "values.yaml").write_text("values: {{ .Values | toJson }}\n")
            flags = [word for path in files for word in ("-f", str(path))]
            argv = (str(tool("helm")), "template", "echo", str(chart), *flags)
            result = runner.run(Command(argv=argv, timeout=300))
            assert result.ok, result.stderr
            known[key] = yaml.load(result.stdout, yaml.CSafeLoader)["values"]
        return known[key]

    return merged


def shown(release: Release) -> Any:
    """What `invoke values --explain` shows, and what Helm makes of numbers: JSON."""
    return json.loads(json.dumps(merge(release, Environment(name="any"), charts_default=True).data))


def releases(stack: Stack) -> Iterator[Release]:
    for release in stack.releases():
        if release.installed:
            yield release


def argocd_files(shop: Path, environment: str) -> dict[str, tuple[Path, ...]]:
    """The value files of each generated Application, in order."""
    world = read_world(shop / "gitops", shop)
    found = {}
    for application in world.applications:
        if application.generated and application.labels.get("gitops.ameide.io/environment") == environment:
            files = value_paths(world, application)
            found[str(application.sources[0][1]["helm"]["releaseName"])] = tuple(shop / path for path in files)
    return found


def flux_files(shop: Path, environment: str) -> dict[str, tuple[Path, ...]]:
    """The files that each HelmRelease takes values from, in order."""
    tree = read_tree(shop / "gitops" / "flux" / environment, shop)
    sources: dict[tuple[str, str], Path] = {}
    for made in generators(tree, "ConfigMap"):
        sources |= {(made.name, key): (shop / path).resolve() for key, path in made.files()}
    return {
        item.spec["releaseName"]: tuple(
            sources[one["name"], one["valuesKey"]] for one in item.spec.get("valuesFrom", ())
        )
        for item in tree.of("HelmRelease")
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_argo_cd_merges_what_invoke_values_shows(
    shop: Path, exported: Mapping[str, Stack], helm_merge: Merge, environment: str
) -> None:
    files = argocd_files(shop, environment)
    for release in releases(exported[environment]):
        more = {"hooks": "argocd"} if release.smoke else {}  # tests become hooks of Argo CD
        assert helm_merge(release, files.pop(release.name)) == {**shown(release), **more}, release.name
    assert not files


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_flux_merges_what_invoke_values_shows(
    shop: Path, exported: Mapping[str, Stack], helm_merge: Merge, environment: str
) -> None:
    files = flux_files(shop, environment)
    for release in releases(exported[environment]):
        assert helm_merge(release, files.pop(release.name)) == shown(release), release.name
    assert not files


def test_the_fixture_has_what_makes_merging_hard(exported: Mapping[str, Stack]) -> None:
    """A null that deletes a default, a replaced list, and an inline value that an overlay overrides."""
    found = {release.name: release for release in releases(exported["production"])}
    cases = set()
    for release in found.values():
        overlays = [yaml.load(path.read_text(), yaml.CSafeLoader) or {} for path in release.values_files]
        defaults = chart_values(release.chart.path).data
        for overlay in overlays:
            cases |= {"null" for key, value in overlay.items() if value is None and key in defaults}
            cases |= {"list" for key, value in overlay.items() if isinstance(value, list) and key in defaults}
            cases |= {"inline" for key in overlay if key in release.values}
    assert cases >= {"null", "list", "inline"}
