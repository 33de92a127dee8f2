"""Layers made of Helm's records: what is secret in them stays out."""

from __future__ import annotations

from typing import Any

import yaml

from devtools.imports.cluster import convert_records

CONFIG: dict[str, Any] = {
    "replicas": 2,
    "auth": {"password": "CANARY-1"},
    "database": {"url": "postgres://app:CANARY-2@db/app", "host": "db", "greeting": "CANARY-3"},
    "env": [{"name": "API_TOKEN", "value": "CANARY-4"}],
    "args": ["--verbose", "--password", "CANARY-5"],
    "key": "-----BEGIN PRIVATE KEY-----\nCANARY-6\n-----END PRIVATE KEY-----\n",
}


def test_no_secret_value_is_in_any_file() -> None:
    chart = {"metadata": {"name": "web", "version": "1.0.0"}, "templates": []}
    document = {"namespace": "shop", "name": "web", "chart": chart, "config": CONFIG}
    encrypted: dict[str, set[tuple[str, ...]]] = {"web": {("database", "greeting")}, "other": {("replicas",)}}
    made = convert_records([document], "dev", (), encrypted)
    assert not [name for name, raw in made.files.items() if b"CANARY" in raw]
    overlays = [yaml.load(raw, yaml.CSafeLoader) for name, raw in made.files.items() if name.name == "web.yaml"]
    assert overlays == [{"replicas": 2, "auth": {}, "database": {"host": "db"}}]
    (row,) = (row for row in made.rows if not row.carried)
    left_out = "auth.password, database.url, database.greeting, env, args, key"
    assert row.what == f"shop/web: secret values: {left_out}"
