"""A secret in plain text among the values is in no exported byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtools.errors import ExitCode
from devtools.gitops.tree.secrets import _secrets
from tests.gitops.flux.conftest import run
from tests.kits.shop import make_shop

CANARY = "canary-4711-Xq"


@pytest.mark.parametrize("engine", ["argocd", "flux", "kustomize"])
def test_an_inline_secret_is_refused_with_its_place(tmp_path: Path, engine: str) -> None:
    shop = make_shop(tmp_path / "shop")
    layer = shop / "layers/40-apps.yaml"
    text = layer.read_text().replace("      level: info\n", f"      level: info\n      password: {CANARY}\n", 1)
    layer.write_text(text)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if CANARY in row)
    done = run(shop, engine=engine)
    assert done.code is ExitCode.CONFIG
    assert f"layers/40-apps.yaml:{line}:" in done.err
    assert "password is a secret in plain text" in done.err
    assert CANARY not in done.out + done.err
    assert not (shop / "gitops").exists()


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ({"engine": "argocd"}, ExitCode.OK),
        ({"engine": "flux"}, ExitCode.OK),
        ({"engine": "flux", "layout": "infra"}, ExitCode.CONFIG),
        ({"engine": "kustomize"}, ExitCode.CONFIG),
        ({"engine": "argocd", "layout": "addons"}, ExitCode.CONFIG),
    ],
)
def test_a_secret_of_an_overlay_is_never_copied(tmp_path: Path, typed: dict[str, str], code: ExitCode) -> None:
    shop = make_shop(tmp_path / "shop")
    overlay = shop / "environments/dev/40-apps/api.yaml"
    overlay.write_text(f"{overlay.read_text()}db: {{password: {CANARY}}}\n")
    done = run(shop, **typed)
    assert done.code is code
    assert ("environments/dev/40-apps/api.yaml:3:" in done.err) == (code is ExitCode.CONFIG)
    files = (path for path in shop.glob("gitops/**/*") if path.is_file())
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert CANARY not in done.out + done.err


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"env": [{"name": "DB_PASSWORD", "value": CANARY}]}, ("env", 0, "value")),
        ({"parameters": [{"name": "db.password", "value": CANARY}]}, ("parameters", 0, "value")),
        ({"url": f"postgres://shop:{CANARY}@db/shop"}, ("url",)),
        ({"repoURL": f"https://shop:{CANARY}@git.example.com/shop.git"}, ("repoURL",)),
        ({"args": ["--user", "shop", "--password", CANARY]}, ("args", 3)),
        ({"args": ["--user=shop", f"--password={CANARY}"]}, ("args", 1)),
        ({"command": ["sh", "-c", f"serve --api-token {CANARY}"]}, ("command", 2)),
        ({"command": f"serve --password='{CANARY}'"}, ("command",)),
        ({"extraEnv": [f"DB_PASSWORD={CANARY}"]}, ("extraEnv", 0)),
        ({"config": f"[db]\npassword = {CANARY}\n"}, ("config",)),
    ],
)
def test_a_secret_within_a_value_is_found(values: dict[str, Any], path: tuple[Any, ...]) -> None:
    assert list(_secrets(values)) == [path]
    assert list(_secrets(values, is_random=False)) == [path]


@pytest.mark.parametrize(
    "values",
    [
        {"env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "DB_PASSWORD", "valueFrom": {"name": "db"}}]},
        {"url": "postgres://$(USER):$(PASSWORD)@db/shop"},
        {"url": "postgres://{{ .user }}:{{ .password }}@db/shop"},
        {"args": ["--password", "--user", "shop", "--token-file", "/run/secrets/token", "--password-file=/run/x"]},
        {"args": ["--password", "$(PASSWORD)", "--password=$(PASSWORD)", "--token", "${TOKEN}"]},
        {"command": ["sh", "-c", 'export PASSWORD=$(cat /run/secret); serve --password "$PASSWORD"']},
        {"config": "password = {{ .Values.password }}\ntoken: ${TOKEN}\n"},
        {"url": "http://grafana:3000/a@b", "image": "registry.example.com:5000/app@sha256:" + "ab" * 32},
    ],
)
def test_what_is_not_a_secret_is_exported(values: dict[str, Any]) -> None:
    assert not list(_secrets(values, is_random=False))
