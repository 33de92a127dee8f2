"""Contracts as CEL."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.errors import Location
from devtools.gitops.flux.health import Check, expression_of, health_expressions
from devtools.model import Contract

HERE = Location(file=Path("layers/10-a.yaml"))


@pytest.mark.parametrize(
    ("path", "equals", "expression"),
    [
        ("{.status.phase}", "Ready", "string(status.phase) == 'Ready'"),
        ("{.status.applied}", "true", "string(status.applied) == 'true'"),
        ("{.status.hosts[0].name}", "it's", r"string(status.hosts[0].name) == 'it\'s'"),
        (
            r"{.metadata.labels.app\.kubernetes\.io/name}",
            "a",
            "string(metadata.labels['app.kubernetes.io/name']) == 'a'",
        ),
        (
            "{.status.conditions[?(@.type=='Synced')].status}",
            "True",
            "status.conditions.exists(item, item.type == 'Synced' && string(item.status) == 'True')",
        ),
        ("{.status.items[*].name}", "a", ""),
    ],
)
def test_a_path(path: str, equals: str, expression: str) -> None:
    contract = Contract(where=HERE, kind="Widget", name="w", jsonpath=path, equals=equals)
    assert expression_of(contract) == expression


def test_a_condition_must_be_there() -> None:
    contract = Contract(where=HERE, kind="Kafka", name="kafka", condition="Ready")
    assert (
        expression_of(contract)
        == "status.conditions.exists(item, item.type == 'Ready' && string(item.status) == 'True')"
    )


def test_one_expression_per_kind_names_its_objects() -> None:
    checks = [
        Check(api_version="a.io/v1", kind="W", name=name, namespace="n", expression=f"string(status.p) == '{name}'")
        for name in ("x", "y")
    ]
    assert health_expressions(checks) == [
        {
            "apiVersion": "a.io/v1",
            "kind": "W",
            "current": "(metadata.name != 'x' || string(status.p) == 'x') && "
            "(metadata.name != 'y' || string(status.p) == 'y')",
        }
    ]
