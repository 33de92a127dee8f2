"""`invoke gitops.diff`, with real git and helm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.commands.gitops.diff import OUTPUTS, Arguments, diff
from devtools.errors import ExitCode
from tests.kits.git import ENVIRON, commit
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

CANARY = "c4n4ry-of-the-database"


@pytest.fixture
def shop(tmp_path: Path, tool: Callable[[str], Path]) -> Path:
    tool("helm")
    return make_shop(tmp_path / "shop")


def run(shop: Path, output: str = "json", **typed: Any) -> Done:
    environ = {**ENVIRON, "DEVTOOLS_STATE": str(shop.parent / "state"), "HOME": str(Path.home())}
    arguments = Arguments(output=output, **typed)
    return call(lambda app: diff(app, arguments), output, environ=environ, cwd=shop, outputs=OUTPUTS)


def fields(document: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Every field that differs, but those of texts, with its values."""
    return {
        f"{item['kind']}/{item['name']}{field['path']}": (field["before"], field["after"])
        for release in document["releases"]
        for item in release["objects"]
        for field in item["fields"]
        if item["kind"] != "ConfigMap"
    }


def test_two_environments_differ_as_their_overlays_do(shop: Path) -> None:
    done = run(shop, environment="staging", against="dev")
    assert done.code is ExitCode.OK
    assert (done.document["from"], done.document["to"]) == ("dev", "staging")
    assert [(item["release"], item["action"]) for item in done.document["releases"]] == [("shop/api", "upgrade")]
    assert fields(done.document) == {
        "Deployment/api.spec.replicas": (1, 2),
        'Deployment/api.spec.template.spec.containers[name="app"].image': (
            "registry.example.com/app:1.4.0",
            "registry.example.com/app:1.3.2",
        ),
    }


def test_a_release_that_one_environment_does_not_install_goes(shop: Path) -> None:
    gone = run(shop, environment="dev", against="production").document
    come = run(shop, environment="production", against="dev").document
    kinds = [{item["release"]: item["action"] for item in document["releases"]} for document in (gone, come)]
    assert (kinds[0]["shop-system/cache"], kinds[1]["shop-system/cache"]) in {
        ("uninstall", "install"),
        ("install", "uninstall"),
    }


def test_two_revisions_of_an_environment(shop: Path) -> None:
    first = commit(shop)
    overlay = shop / "environments/dev/40-apps/api.yaml"
    overlay.write_text(overlay.read_text().replace("replicas: 1", "replicas: 5"))
    changed = {"Deployment/api.spec.replicas": (1, 5)}
    assert fields(run(shop, environment="dev", from_ref="HEAD").document) == changed
    commit(shop)
    typed = {"environment": "dev", "from_ref": first, "to_ref": "HEAD"}
    assert fields(run(shop, **typed).document) == changed
    assert run(shop, **typed, fail_on_change=True).code is ExitCode.FAILED
    assert run(shop, environment="dev", from_ref="HEAD", fail_on_change=True).code is ExitCode.OK
    assert "nothing differs" in run(shop, "text", environment="dev", from_ref="HEAD").out
    assert "Deployment/api" in run(shop, "markdown", **typed).out


def test_a_secret_is_not_shown(shop: Path) -> None:
    (shop / "charts/platform/app/templates/secret.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: {{ .Release.Name }}}\n"
        'stringData: {password: {{ .Values.password | default "none" }}}\n'
    )
    overlay = shop / "environments/dev/40-apps/web.yaml"
    overlay.write_text(f"password: {CANARY}\n")
    for output in ("text", "json", "markdown"):
        done = run(shop, output, environment="staging", against="dev")
        assert done.code is ExitCode.OK
        assert "shop/web" in done.out
        assert CANARY not in done.out + done.err


def test_a_chart_that_cannot_be_rendered_is_named(shop: Path) -> None:
    (shop / "charts/platform/app/templates/bad.yaml").write_text(
        '{{ if gt (int .Values.replicas) 1 }}{{ fail "too many" }}{{ end }}\n'
    )
    done = run(shop, "text", environment="staging", against="dev")
    assert done.code is ExitCode.CONFIG
    assert "too many" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({}, "takes exactly one of --against, --from and --live"),
        ({"against": "dev"}, "--env is missing"),
        ({"against": "dev", "from_ref": "HEAD"}, "takes exactly one"),
        ({"environment": "dev", "against": "stagign"}, "unknown environment 'stagign'"),
        ({"environment": "dev", "against": "staging", "to_ref": "HEAD"}, "--to needs --from"),
        ({"environment": "dev", "from_ref": "nowhere"}, "nowhere is not a commit"),
    ],
)
def test_what_does_not_fit_is_refused(shop: Path, typed: dict[str, str], message: str) -> None:
    commit(shop)
    done = run(shop, "text", **typed)
    assert done.code is ExitCode.CONFIG
    assert message in done.err
