"""What a refused upgrade would have changed is shown without values that are secret by their origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtools.config.values import secret_shapes
from devtools.errors import Location
from devtools.helm.rejections import Refusal
from devtools.helm.revision import Applied
from devtools.model import ChartRef, ObjectRef, Release
from devtools.redaction.origin import marked
from devtools.releases import recreate

FILE = """\
greeting: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]
sops: {version: 3.9.0, mac: "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]"}
"""


def revision(greeting: str, domain: str, plain: str) -> Applied:
    item = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": "ns"},
        "spec": {"template": {"greeting": greeting, "domain": f"x-{domain}", "plain": plain}},
    }
    values = {"greeting": greeting, "from": {"reference": domain}, "plain": plain}
    return Applied(objects=(item,), repeated=(), values=values)


def test_earlier_secrets_are_hidden_by_their_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "web.secrets.yaml"
    file.write_text(FILE)
    where = Location(file=Path("layers/10-a.yaml"))
    chart = ChartRef(name="platform/web", path=tmp_path)
    release = Release(name="web", namespace="ns", chart=chart, layer="10-a", where=where, secret_files=(file,))
    before, after = revision("CANARY-OLD-1", "CANARY-OLD-2", "one"), revision("CANARY-NEW-1", "CANARY-NEW-2", "two")
    monkeypatch.setattr(recreate, "last_two", lambda *_: (before, after))
    values = {"greeting": "unknown", "from": {"reference": marked("CANARY-NEW-2")}, "plain": "two"}
    refusal = Refusal(why="immutable", ref=ObjectRef("batch/v1", "Job", "ns", "migrate"), fields=(".spec.template",))
    kube: Any = None
    found = recreate.fields_changed(kube, release.id, [refusal], secret_shapes(release, values))
    assert found[refusal.ref] == {
        ".spec.template.greeting": '"***" → "***"',
        ".spec.template.domain": '"x-***" → "x-***"',
        ".spec.template.plain": '"one" → "two"',
    }
