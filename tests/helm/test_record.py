"""Helm's stored releases: what is read out of them, and that only CRDs are changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from devtools.errors import DevtoolsError
from devtools.helm.commands import documents
from devtools.helm.record import KEEP, Stored, read_record

CONFIG_MAP = (
    "# Source: x/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    kind: b\n"
)


def crd(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"versions": [{"schema": {"enum": ["=", "=~"]}}]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def text(item: dict[str, Any]) -> str:
    """As charts write it: a bare `=`."""
    return yaml.safe_dump(item).replace("'='", "=")


def stored(*parts: str, hooks: list[Any] | None = None) -> Stored:
    return Stored.of("ns", {"manifest": "".join(f"---\n{part}" for part in parts), "hooks": hooks})


def spared(made: Stored) -> Stored:
    """What is read back from what is written."""
    return read_record({"metadata": {"namespace": "ns"}, "data": {"release": made.encoded_sparing_crds()}})


def retained(made: Stored) -> dict[str, bool]:
    return {item["metadata"]["name"]: KEEP in (item["metadata"].get("annotations") or {}) for item in made.items()}


@pytest.mark.parametrize(
    ("parts", "crds", "marked"),
    [
        ((CONFIG_MAP,), (), {"a": False}),
        ((CONFIG_MAP, text(crd("x.y"))), ("x.y",), {"a": False, "x.y": True}),
        ((text(crd("x.y", annotations={"note": "1"})), CONFIG_MAP), ("x.y",), {"x.y": True, "a": False}),
        ((text(crd("x.y", annotations={KEEP: "keep"})),), ("x.y",), {"x.y": True}),
        (
            (
                text(
                    {"apiVersion": "v1", "kind": "List", "items": [crd("x.y"), yaml.load(CONFIG_MAP, yaml.CSafeLoader)]}
                ),
            ),
            ("x.y",),
            {"x.y": True, "a": False},
        ),
        ((CONFIG_MAP.replace("kind: b", "kind: CustomResourceDefinition"),), (), {"a": False}),
        ((), (), {}),
    ],
    ids=["none", "one", "annotated", "kept by the chart", "in a list", "in words only", "empty"],
)
def test_only_crds_have_the_policy_keep(parts: tuple[str, ...], crds: tuple[str, ...], marked: dict[str, bool]) -> None:
    made = stored(*parts)
    assert made.crds() == crds
    after = spared(made)
    assert retained(after) == marked
    assert after.objects() == made.objects()
    for part in parts:
        assert "CustomResourceDefinition" in part or part in after.document["manifest"]
    for item in after.items():
        if item["kind"] == "CustomResourceDefinition":
            assert item["spec"] == crd("x.y")["spec"]


def test_the_rest_is_written_as_it_is_read() -> None:
    made = Stored.of("ns", {"name": "x", "manifest": f"---\n{CONFIG_MAP}", "info": {"status": "deployed"}})
    assert spared(made) == made
    assert made.encoded_sparing_crds() == made.encoded_sparing_crds()


@pytest.mark.parametrize(
    "data", [{}, {"release": "?"}, {"release": "bm90IGd6aXA="}], ids=["none", "no base64", "no gzip"]
)
def test_a_record_that_cannot_be_read_is_no_release(data: dict[str, str]) -> None:
    with pytest.raises(DevtoolsError, match="cannot be read"):
        read_record({"metadata": {"namespace": "ns"}, "data": data})


def test_what_tests_leave_is_known() -> None:
    def hook(name: str, *events: str, **metadata: str) -> dict[str, Any]:
        item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}}
        return {"events": list(events), "manifest": json.dumps(item)}

    made = stored(hooks=[hook("a", "test"), hook("b", "pre-install"), hook("c", "test", "post-install", namespace="z")])
    assert [(ref.namespace, ref.name) for ref in made.tests()] == [("ns", "a"), ("z", "c")]
    assert [ref.name for ref in made.ended_hooks()] == ["b"]


def test_the_last_line_end_of_a_document_is_preserved() -> None:
    first, second = "kind: A\ndata: |\n  x\n", "kind: B\ndata: |\n  y\n\n"
    manifest = f"---\n# Source: a\n{first}---\n# Source: b\n{second}---\nkind: C\ndata: |-\n  z\n"
    items = Stored.of("ns", {"manifest": manifest}).items()
    assert [item["data"] for item in items] == ["x\n", "y\n", "z"]
    assert list(items) == list(documents(manifest))
