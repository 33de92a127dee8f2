"""An app-of-apps is previewed without Argo CD's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.gitops.preview.generate import groups
from devtools.gitops.tree.read import read_tree
from devtools.process.runner import Cancel, SubprocessRunner

APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  annotations: {{argocd.argoproj.io/sync-wave: "{wave}"}}
spec:
  project: default
  source: {{repoURL: https://git.example.com/team/platform.git, path: {path}}}
"""


def _program() -> Path:
    pytest.fail("no ApplicationSet needs the program")


def test_its_steps_are_sync_waves(tmp_path: Path) -> None:
    directory = tmp_path / "apps" / "dev"
    directory.mkdir(parents=True)
    (tmp_path / "dev.yaml").write_text(APPLICATION.format(name="dev", wave=0, path="apps/dev"))
    for name, wave in (("web", 2), ("api", 1), ("data", -1)):
        (directory / f"{name}.yaml").write_text(APPLICATION.format(name=name, wave=wave, path=f"charts/{name}"))
    (group,) = groups(read_tree(tmp_path, tmp_path), _program, SubprocessRunner({}, Cancel()))
    assert (group.name, group.kind, group.order) == ("dev", "Application", "waves")
    assert group.steps == (("data",), ("api",), ("web",))
    assert group.frozen_by("api") == ("web",)
