"""Exports of a stack with references: controllers cannot replace them, so the exported files have their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents
from devtools.commands.gitops.export import Arguments, export
from devtools.errors import ExitCode
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

ENVIRONMENTS = ("dev", "staging", "production")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    settings.write_text("references: true\n" + settings.read_text())
    layer = root / "layers/40-apps.yaml"
    layer.write_text(layer.read_text().replace("level: info", 'level: "${level}"'))
    shared = root / "environments/_shared/40-apps/api.yaml"
    shared.write_text(shared.read_text() + '\nurl: "https://${domain}"\nprompt: "$${DS_PROM}"\n')
    for name in ENVIRONMENTS:
        path = root / "environments" / name / "environment.yaml"
        text = path.read_text() if path.exists() else ""
        path.write_text(f"{text}\nlevel: level-{name}\ndomain: {name}.example.com\n")
    (root / "environments/local/environment.yaml").write_text("level: local\ndomain: localhost\n")
    return root


def run(root: Path, **typed: Any) -> Done:
    environ = {"DEVTOOLS_CACHE": str(root.parent / "cache"), "DEVTOOLS_STATE": str(root.parent / "state")}
    return call(lambda app: export(app, Arguments(output="json", **typed)), "json", environ=environ, cwd=root)


@pytest.mark.parametrize(
    "typed",
    [
        {"engine": "argocd"},
        {"engine": "argocd", "layout": "addons"},
        {"engine": "flux"},
        {"engine": "kustomize"},
    ],
    ids=lambda typed: " ".join(typed.values()),
)
def test_every_engine_exports_the_values_of_references(shop: Path, typed: dict[str, Any]) -> None:
    done = run(shop, **typed)
    assert done.code is ExitCode.OK, done.document
    written = {path: path.read_text() for path in (shop / "gitops").rglob("*.yaml")}
    for name in ENVIRONMENTS:
        texts = {path: text for path, text in written.items() if name in path.relative_to(shop).as_posix()}
        urls = [path for path, text in texts.items() if f"url: https://{name}.example.com" in text]
        assert len(urls) == 1, (name, urls)
        (values,) = read_documents(texts[urls[0]])
        assert values["prompt"] == "${DS_PROM}"
        assert [path for path, text in texts.items() if f"level: level-{name}" in text], name
    assert not [path for path, text in written.items() if "${domain}" in text or "${level}" in text]
    references = [text for text in written.values() if "environments/_shared/40-apps/api.yaml" in text]
    assert not references


def test_a_secret_that_a_reference_stands_for_is_not_exported(shop: Path) -> None:
    overlay = shop / "environments/_shared/40-apps/api.yaml"
    overlay.write_text(overlay.read_text() + 'password: "${secret}"\n')
    for name in (*ENVIRONMENTS, "local"):
        path = shop / "environments" / name / "environment.yaml"
        path.write_text(path.read_text() + "secret: k9Xq2LmZ8vT4bR7wY1pD\n")
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert "password is a secret in plain text" in str(done.document)
    assert "k9Xq2LmZ8vT4bR7wY1pD" not in str(done.document)


@pytest.mark.parametrize(("engine", "code"), [("argocd", ExitCode.OK), ("flux", ExitCode.CONFIG)])
def test_a_tenants_values_have_no_references_for_flux(shop: Path, engine: str, code: ExitCode) -> None:
    tenant = shop / "tenants/acme"
    (tenant / "40-apps").mkdir(parents=True)
    (tenant / "tenant.yaml").write_text("applications: [web]\n")
    (tenant / "40-apps/web.yaml").write_text('url: "https://acme.${domain}"\n')
    done = run(shop, engine=engine)
    assert done.code is code, done.document
    if code is ExitCode.CONFIG:
        (problem,) = done.document["problems"]
        assert problem["file"] == "tenants/acme/40-apps/web.yaml"
        assert "cannot have references" in problem["message"]
    else:
        texts = [path.read_text() for path in (shop / "gitops").rglob("*.yaml")]
        assert [text for text in texts if "url: https://acme.dev.example.com" in text]
