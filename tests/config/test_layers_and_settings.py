"""What people type for a layer; where a repository begins and what its settings are."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.config.cluster_keys import unused
from devtools.config.environments import environment_names
from devtools.config.settings import ClusterSettings, find_root, load_settings
from devtools.errors import ConfigError
from devtools.model import Environment, Layer, Stack
from devtools.planning.layer_names import find_layer
from tests.kits.stack import printed, repository, write

NAMES = {
    "10-bootstrap": "",
    "20-core-operators": "20-operators",
    "40-data-plane": "",
    "45-data-plane-ext": "",
    "60-qa": "",
}
STACK = Stack(
    name="shop",
    root=Path(),
    environment=Environment(name="local"),
    layers=tuple(Layer(name=name, alias=alias, file=Path(), stage="s") for name, alias in NAMES.items()),
)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("40-data-plane", "40-data-plane"),
        ("40", "40-data-plane"),
        ("40-d", "40-data-plane"),
        ("20-operators", "20-core-operators"),
        ("operators", "20-core-operators"),
        ("core", "20-core-operators"),
        ("20", "20-core-operators"),
        ("qa", "60-qa"),
        ("6", "60-qa"),
        ("0040", "40-data-plane"),
        ("data-plane-", "45-data-plane-ext"),
    ],
)
def test_a_layer_by_what_is_typed(typed: str, name: str) -> None:
    assert find_layer(STACK, typed).name == name


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("data", "'data' is ambiguous: it matches 40-data-plane, 45-data-plane-ext (type a longer prefix)"),
        ("4", "'4' is ambiguous: it matches 40-data-plane, 45-data-plane-ext (type a longer prefix)"),
        ("7", "unknown layer '7' (layers: 10-bootstrap, 20-core-operators, 40-data-plane, 45-data-plane-ext, 60-qa)"),
        ("40-data-plan3", "unknown layer '40-data-plan3' (did you mean '40-data-plane'?)"),
        ("bootsrap", "unknown layer 'bootsrap' (did you mean '10-bootstrap'?)"),
        ("20-operatros", "unknown layer '20-operatros' (did you mean '20-core-operators'?)"),
        ("", "unknown layer '' (layers: 10-bootstrap, 20-core-operators, 40-data-plane, 45-data-plane-ext, 60-qa)"),
    ],
)
def test_no_layer_or_several(typed: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_layer(STACK, typed)
    assert printed(caught.value) == [line]


def test_the_root_is_found_from_below(tmp_path: Path) -> None:
    root = write(tmp_path / "repo", {"layers/10-a.yaml": "", "src/deep/file": ""})
    assert find_root(root / "src/deep") == root
    assert find_root(root) == root
    with pytest.raises(ConfigError, match="no stack here"):
        find_root(tmp_path)


def test_defaults(tmp_path: Path) -> None:
    root = write(tmp_path / "My Repo_2", {"layers/10-a.yaml": ""})
    settings = load_settings(root)
    assert settings.name == "my-repo-2"
    assert settings.cluster == ClusterSettings(name="my-repo-2", provider="auto", context="", nodes=3)
    assert settings.environment == "local"
    assert settings.allowed_contexts == ()
    found = (settings.layers, settings.charts, settings.environments, settings.simulation)
    assert found == tuple(root / name for name in ("layers", "charts", "environments", "simulation"))


def test_every_key(tmp_path: Path) -> None:
    text = (
        "name: shop\npaths: {layers: deploy/layers, charts: c, environments: e, simulation: s}\nenvironment: dev\n"
        "cluster: {name: team, provider: context, context: team-dev}\nallowed_contexts: [team-dev]\n"
        "environments: {dev: {cluster: {context: team-dev}}}\n"
    )
    root = write(tmp_path, {"devtools.yaml": text})
    settings = load_settings(root)
    assert (settings.layers, settings.simulation) == (root / "deploy/layers", root / "s")
    declared = ("provider", "context")
    wanted = ClusterSettings(name="team", provider="context", context="team-dev", declared=declared)
    assert settings.cluster == settings.cluster_of("dev") == wanted
    assert (settings.environment, settings.allowed_contexts) == ("dev", ("team-dev",))


def test_an_environment_has_a_cluster_of_its_own(tmp_path: Path) -> None:
    text = (
        "name: shop\ncluster: {provider: k3d, agents: 2, ports: ['80:80']}\n"
        "environments: {ci: {cluster: {name: shop-ci, agents: 0}}, local: {}}\n"
    )
    root = write(tmp_path, {"devtools.yaml": text, "environments/ci/environment.yaml": ""})
    settings = load_settings(root)
    assert settings.cluster_of("local") == settings.cluster
    found = settings.cluster_of("ci")
    assert (found.name, found.provider, found.agents, found.ports) == ("shop-ci", "k3d", 0, ("80:80",))
    assert found.declared == ("provider", "agents", "ports")


def test_keys_that_are_for_another_provider_are_named() -> None:
    assert unused("kwok", ("provider", "agents", "ports", "nodes")) == ("agents", "ports")
    assert unused("k3d", ("provider", "agents", "nodes")) == ("nodes",)


def test_environments_must_be_a_directory(tmp_path: Path) -> None:
    root = repository(tmp_path, {"layers/10-a.yaml": "stage: a\nreleases: []\n", "environments": ""})
    with pytest.raises(ConfigError, match="environments is not a directory"):
        environment_names(load_settings(root))
