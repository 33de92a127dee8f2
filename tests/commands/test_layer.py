"""`invoke layer` with selectors, on an empty cluster."""

from __future__ import annotations

import io
import json
from pathlib import Path

from devtools.app.exit_codes import run
from devtools.app.options import Options
from devtools.commands.runs import layer, plan
from devtools.planning.selection import Selector
from devtools.project import Project
from tests.kits.stack import repository

ENTRY = "  - {{name: {0}, namespace: ns, chart: platform/web, needs: [{1}]}}\n"
FILES = {
    "layers/10-base.yaml": "stage: base\nreleases:\n" + ENTRY.format("db", ""),
    "layers/20-apps.yaml": "stage: apps\nreleases:\n" + ENTRY.format("web", "ns/db") + ENTRY.format("api", ""),
}


def test_a_layer_takes_selectors(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", FILES)
    environ = {"DEVTOOLS_CACHE": str(tmp_path), "DEVTOOLS_STATE": str(tmp_path), "DEVTOOLS_PROVIDER": "kwok"}

    def planned(typed: Selector) -> tuple[str, list[str]]:
        found = []
        for verb in (layer, plan):
            out = io.StringIO()
            app = Project.find(root, environ=environ, out=out, err=io.StringIO()).app
            options = Options(dry_run=True, output="json", selector=typed)
            code = run(app, lambda app, verb=verb, options=options: verb(app, "20", options), "json")  # type: ignore[misc]
            assert int(code) == 0
            document = json.loads(out.getvalue())
            found.append((document["what"], [item["release"] for item in document["releases"]]))
        assert found[0] == found[1]
        return found[0]

    assert planned(Selector()) == ("layer 20-apps", ["ns/web", "ns/api"])
    assert planned(Selector(labels=("name=api",))) == ("layer 20-apps --label name=api", ["ns/api"])
    assert planned(Selector(releases=("web",), with_needs=True)) == (
        "layer 20-apps --release web --with-needs",
        ["ns/db", "ns/web"],
    )


def test_a_plan_without_a_cluster_knows_missing_namespaces(tmp_path: Path) -> None:
    files = {"layers/_defaults.yaml": "release: {create_namespace: false}\n", **FILES}
    files["layers/10-base.yaml"] = files["layers/10-base.yaml"].replace("namespace: ns", "namespace: default")
    files["layers/20-apps.yaml"] = (
        files["layers/20-apps.yaml"].replace("ns/db", "").replace("api, namespace: ns", "api, namespace: default")
    )
    root, out = repository(tmp_path / "repo", files), io.StringIO()
    environ = {"DEVTOOLS_CACHE": str(tmp_path), "DEVTOOLS_STATE": str(tmp_path), "DEVTOOLS_PROVIDER": "kwok"}
    app = Project.find(root, environ=environ, out=out, err=io.StringIO()).app
    run(app, lambda app: plan(app, "20", Options(output="json")), "json")
    found = {item["release"]: item["action"] for item in json.loads(out.getvalue())["releases"]}
    assert found == {"default/api": "install", "ns/web": "blocked"}
