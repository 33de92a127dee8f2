"""Which fields `ignore` leaves to others."""

from __future__ import annotations

import pytest

from devtools.diff.managed_fields import Steps
from devtools.drift.ignored import is_ignored
from devtools.model import Ignore, ObjectRef

REF = ObjectRef("apps/v1", "Deployment", "shop", "api")
BODY = {
    "spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "side"}, {"name": "app", "image": "a"}]}},
    },
    "metadata": {"annotations": {"a/b": "1"}},
}
IMAGE: Steps = ("spec", "template", "spec", "containers", (("name", "app"),), "image")


@pytest.mark.parametrize(
    ("pointer", "steps", "is_expected"),
    [
        ("/spec/replicas", ("spec", "replicas"), True),
        ("/spec", ("spec", "replicas"), True),
        ("/spec/replicas/x", ("spec", "replicas"), False),
        ("/spec/replica", ("spec", "replicas"), False),
        ("/spec/template/spec/containers/1/image", IMAGE, True),
        ("/spec/template/spec/containers/0/image", IMAGE, False),
        ("/spec/template/spec/containers/7/image", IMAGE, False),
        ("/metadata/annotations/a~1b", ("metadata", "annotations", "a/b"), True),
        ("/spec/list/1", ("spec", "list", 1), True),
    ],
)
def test_pointers(pointer: str, steps: Steps, *, is_expected: bool) -> None:
    assert is_ignored((Ignore(kind="Deployment", paths=(pointer,)),), REF, BODY, steps) is is_expected


@pytest.mark.parametrize(
    ("ignored", "is_expected"),
    [
        (Ignore(kind="Deployment", paths=("/spec",), group="apps", name="api"), True),
        (Ignore(kind="Deployment", paths=("/spec",), group="extensions"), False),
        (Ignore(kind="Deployment", paths=("/spec",), name="web"), False),
        (Ignore(kind="StatefulSet", paths=("/spec",)), False),
    ],
)
def test_objects(ignored: Ignore, *, is_expected: bool) -> None:
    assert is_ignored((ignored,), REF, BODY, ("spec", "replicas")) is is_expected
