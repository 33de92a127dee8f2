"""The whole platform is taken away: CRDs stay, then go, and nothing of it remains."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.app.environment import App
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.e2e.test_down import Own
from tests.kits.repository import Repo
from tests.platform.support import ROOT

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not os.environ.get("DEVTOOLS_NIGHTLY"), reason="nightly: set DEVTOOLS_NIGHTLY=1"),
]
CRDS = ("customresourcedefinitions ", "apiservices ")


@pytest.fixture
def own(app: App, tmp_path: Path) -> Iterator[Own]:
    """This repository on a cluster of its own."""
    env = {"DEVTOOLS_CLUSTER": f"down-{uuid4().hex[:8]}", "DEVTOOLS_STATE": str(tmp_path)}
    repo = Repo(path=ROOT, namespace="ameide", app=app, env=env)
    try:
        assert repo.invoke("cluster.create").code == 0
        found = App(environ=repo.environ, cwd=ROOT, out=sys.stdout, err=sys.stderr).provider.find()
        yield Own(repo=repo, kube=Kube(found.kubeconfig, found.context, Cancel()))
    finally:
        repo.invoke("cluster.delete")


def test_nothing_of_the_platform_remains(own: Own) -> None:
    before = own.everything()
    assert own.repo.invoke("up", "--no-test", timeout=900).code == 0
    drift = own.repo.invoke("drift", timeout=300)
    assert (drift.code, "no drift: " in drift.out) == (0, True), drift.text  # nobody has touched it
    plain = own.repo.invoke("down", timeout=300)
    assert plain.code == 0, plain.text
    left = {name for name in own.everything() - before if not name.startswith(CRDS)}
    assert not left
    last = own.repo.invoke("down", "--crds", timeout=300)
    assert last.code == 0, last.text
    assert own.more_than(before, set()) == set()
