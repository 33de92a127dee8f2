"""What users read when something declared is wrong, case by case; and what a good repository becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtools.errors import ConfigError, ExitCode
from devtools.model import Contract, HttpCheck, ReleaseId
from tests.kits.stack import cases, load, printed, repository

GOOD = {
    "devtools.yaml": "name: shop\n",
    "layers/_defaults.yaml": (
        "helm: {timeout: 2m, history: 3}\n"
        "release:\n  namespace: ameide\n  labels: {team: core}\n  values: {replicas: 1, image: {tag: a, name: img}}\n"
    ),
    "layers/10-base.yaml": (
        "stage: base\nalias: ground\ncritical_path: false\nreleases:\n"
        "  - name: db\n    namespace: data\n    chart: platform/web\n    installed: flags.db\n"
    ),
    "layers/20-app.yaml": (
        "stage: app\nreleases:\n"
        "  - name: web\n    chart: platform/web\n    timeout: 90\n    wait: false\n    labels: {team: web}\n"
        "    needs: [{release: data/db, optional: true}]\n"
        "    values: {image: {tag: b}}\n"
        "    before: [{run: [python, seed.py], timeout: 5s}]\n"
        "    contract:\n"
        "      - {apiVersion: v1, kind: Service, name: web}\n"
        "      - {http: {service: web, port: 80, path: /healthz}, timeout: 10s}\n"
        "  - {name: app-smoke, chart: platform/web, smoke: true, environments: [dev]}\n"
    ),
    "layers/30-local.yaml": "stage: x\nenvironments: [local]\nreleases: [{name: x, chart: platform/web}]\n",
    "environments/_shared/environment.yaml": "flags: {db: true, other: true}\n",
    "environments/_shared/20-app/web.yaml": "replicas: 2\n",
    "environments/local/20-app/web.yaml": "replicas: 3\n",
    "environments/local/environment.yaml": "flags:\n  other: false\n",
    "environments/dev/environment.yaml": "",
    "environments/dev/platform/15-secrets.values.yaml": "flags:\n  db: false\n",
}


@pytest.mark.parametrize("case", cases("config"))
def test_problems(case: Any, tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", case["files"])
    with pytest.raises(ConfigError) as caught:
        load(root, case.get("environment", ""), case.get("sets", ()))
    assert printed(caught.value) == case["problems"]
    assert caught.value.exit_code is ExitCode.CONFIG


def test_a_good_repository(tmp_path: Path) -> None:
    stack = load(repository(tmp_path / "repo", GOOD))
    assert (stack.name, stack.environment.name, stack.environments) == ("shop", "local", ("dev", "local"))
    assert [(layer.name, layer.alias, layer.critical, layer.number) for layer in stack.layers] == [
        ("10-base", "ground", False, 10),
        ("20-app", "", True, 20),
        ("30-local", "", True, 30),
    ]
    web = stack.layer("20-app").releases[0]
    assert web.id == ReleaseId("ameide", "web")
    assert (web.timeout, web.wait, web.history) == (90.0, False, 3)
    assert web.values == {"replicas": 1, "image": {"tag": "b", "name": "img"}}
    assert str(web.values_where["image", "tag"]) == "layers/20-app.yaml:9:22"
    assert str(web.values_where["image", "name"]) == "layers/_defaults.yaml:5:41"
    assert web.labels == {"team": "web", "stage": "app", "layer": "20-app"}
    assert [path.relative_to(stack.root).as_posix() for path in web.values_files] == [
        "environments/_shared/20-app/web.yaml",
        "environments/local/20-app/web.yaml",
    ]
    assert [(need.release, need.optional) for need in web.needs] == [(ReleaseId("data", "db"), True)]
    assert [(hook.argv, hook.timeout) for hook in web.before] == [(("python", "seed.py"), 5.0)]
    assert web.contract == (
        Contract(where=web.contract[0].where, api_version="v1", kind="Service", name="web"),
        Contract(where=web.contract[1].where, http=HttpCheck(service="web", port=80, path="/healthz"), timeout=10.0),
    )
    assert (web.chart.kind, web.chart.version, web.chart.path) == ("local", "0.1.0", stack.root / "charts/platform/web")
    assert str(web.where) == "layers/20-app.yaml:3:5"


def test_what_switches_releases_off(tmp_path: Path) -> None:
    repository(tmp_path / "repo", GOOD)
    local = {release.name: release.disabled_by for release in load(tmp_path / "repo", "local").releases()}
    dev = load(tmp_path / "repo", "dev")
    off = {release.name: release.disabled_by for release in dev.releases()}
    assert local == {"db": "", "web": "", "app-smoke": "environments: [dev] (layers/20-app.yaml:14:57)", "x": ""}
    assert off == {
        "db": "flags.db: false (environments/dev/platform/15-secrets.values.yaml:2:3)",
        "web": "",
        "app-smoke": "",
        "x": "environments: [local] (layers/30-local.yaml:2:1)",
    }
    assert [release.installed for release in dev.releases()] == [not why for why in off.values()]
    assert dev.layer("30-local").inactive == off["x"]
    assert dev.environment.values == {"flags": {"db": False, "other": True}}


def test_this_repository_loads() -> None:
    root = Path(__file__).resolve().parents[2]
    for environment in load(root).environments:
        assert load(root, environment).layers


def test_a_duration_never_reads_a_quoted_number(tmp_path: Path) -> None:
    files = {"layers/10-a.yaml": 'stage: a\nreleases: [{name: a, namespace: a, chart: platform/web, timeout: "30"}]\n'}
    with pytest.raises(ConfigError):
        load(repository(tmp_path / "repo", files))
