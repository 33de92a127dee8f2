"""Whatever kustomizations and manifests hold, it is read or refused with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.charts.packaged.kustomization import kustomization_in
from devtools.charts.packaged.manifests import chart_files
from tests.kits.fuzzing import SLOW, scratch
from tests.kits.stack import write

KEYS = (
    *("resources", "generators", "transformers", "bases", "components", "configurations", "crds", "patches"),
    *("patchesJson6902", "replacements", "configMapGenerator", "secretGenerator", "patchesStrategicMerge", "Resources"),
    *("openapi", "helmCharts", "path", "env", "envs", "files", "apiVersion", "kind"),
)
TEXTS = st.sampled_from(
    [
        *("a.yaml", "directory", ".", "..", "../..", "/", "", "x" * 5000, "a.yaml/b", "https://x", "a=b", "a\n", "\0"),
        "apiVersion: builtin\nkind: PatchTransformer\npath: [1]\n",
    ]
)
LEAVES = TEXTS | st.none() | st.integers() | st.booleans()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
METADATA = st.fixed_dictionaries({}, optional={"name": LEAVES, "namespace": VALUES, "labels": VALUES})
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": LEAVES,
        "kind": LEAVES | st.sampled_from(["List", "Namespace", "CustomResourceDefinition"]),
        "metadata": VALUES
        | st.fixed_dictionaries({}, optional={"name": LEAVES, "namespace": VALUES, "labels": VALUES}),
        "items": VALUES,
    },
)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with scratch() as directory:
        yield write(Path(directory), {"devtools.yaml": "", "k/a.yaml": "a: b\n", "k/directory/a": ""})


@SLOW
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4) | VALUES)
def test_any_kustomization(root: Path, data: Any) -> None:
    write(root, {"k/kustomization.yaml": json.dumps(data)})
    sources = kustomization_in(root, PurePosixPath("k"))
    assert sources.digest
    assert all(path.is_relative_to("k") for path in sources.files)
    assert all(problem.where.line > 0 for problem in sources.problems)


@given(st.lists(OBJECTS | VALUES, max_size=3), st.text(max_size=5))
def test_any_manifests(documents: list[Any], between: str) -> None:
    raw = f"\n---{between}\n".join(map(json.dumps, documents)).encode("utf-8", "replace")
    files, problems = chart_files("web", "0.0.0", "web", {"a.yaml": (Path("a.yaml"), raw)})
    assert "web/Chart.yaml" in files
    assert all(problem.where.file == Path("a.yaml") for problem in problems)
