"""The mapping table of docs/gitops.md is the one that `gitops.explain` uses: `python -m tests.gitops.test_docs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtools.commands.gitops.explain import explain
from devtools.config.settings_file.gitops import GitopsEnvironment
from devtools.errors import ExitCode
from devtools.gitops.mapping import MAPPINGS, table
from devtools.model import Layer, Release
from tests.gitops.test_export import run as export_of
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call
from tests.report.test_docs import documented, sections

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gitops.md"
START, END = "<!-- mapping: python -m tests.gitops.test_docs -->\n", "<!-- end -->"


def with_table(text: str) -> str:
    before, _, rest = text.partition(START)
    return before + START + table() + END + rest.partition(END)[2]


def test_the_table_is_the_generated_one() -> None:
    assert PAGE.read_text() == with_table(PAGE.read_text())


def test_every_key_is_mapped() -> None:
    from devtools.config.validate import keys_of

    mapped = {item.key for item in MAPPINGS}
    assert {key.name for key in (*keys_of(Release), *keys_of(GitopsEnvironment))} - mapped == set()
    assert {key.name for key in keys_of(Layer)} - mapped == {"releases"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("explain") / "shop")


def run(root: Path, name: str, environment: str = "", output: str = "json") -> Done:
    environ = {"DEVTOOLS_CACHE": str(root.parent / "cache"), "DEVTOOLS_STATE": str(root.parent / "state")}
    return call(lambda app: explain(app, name, environment, output), output, environ=environ, cwd=root)


def test_a_component_is_explained_field_by_field(shop: Path) -> None:
    document = run(shop, "api").document
    rows = {row["key"]: row for row in document["fields"]}
    assert (document["release"], document["environment"], document["wave"]) == ("shop/api", "dev", 3)
    assert rows["ignore"]["where"] == "layers/40-apps.yaml:17:5"
    assert rows["ignore"]["argocd"]["ignoreDifferences"][0]["jsonPointers"] == ["/spec/replicas"]
    assert rows["ignore"]["flux"]["driftDetection.ignore"][0]["paths"] == ["/spec/replicas"]
    assert rows["needs"]["flux"]["dependsOn"] == [{"name": "stock"}, {"name": "orders"}]
    assert rows["history"]["argocd"] == {"revisionHistoryLimit": 5}
    assert {note["engine"] for note in document["notes"]} == {"argocd", "flux"}


def test_of_several_sources_the_charts_is_shown(shop: Path) -> None:
    rows = {row["key"]: row for row in run(shop, "shop-system/cache").document["fields"]}
    assert rows["chart"]["argocd"]["source.chart"] == "cache"
    assert json.dumps(rows["chart"]["flux"]).count("cache")


def test_text_shows_places_and_files(shop: Path) -> None:
    out = run(shop, "web", "production", output="text").out
    assert "shop/web in production" in out
    assert "flux    maxHistory: 3" in out
    assert "argocd: gitops/environments/production/components/apps/web/component.yaml" in out


def test_the_documents_are_documented(shop: Path) -> None:
    for made in (run(shop, "web").document, export_of(shop).document):
        assert documented(sections("gitops.md")[made["kind"]]) == list(made)


def test_an_unknown_component(shop: Path) -> None:
    done = run(shop, "wep")
    assert done.code is ExitCode.CONFIG
    assert "unknown component 'wep'" in done.err
    assert "did you mean 'web'?" in done.err


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
