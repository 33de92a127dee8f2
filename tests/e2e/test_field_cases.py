"""Cases from the field: small repositories that showed faults, with the right outcome as data.

Each file of `tests/cases/stacks` holds a repository and steps. A step runs a command (`run`, with its `exit` code and
what it `says` and `lacks`), looks at the cluster (`crds`, `configmap`, `get`), or changes something (`edit`, `write`,
`delete`, `helm`). The namespace `case`, the stack `case` and the group `example.com` become the test's own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from devtools.releases.crds import CRDS
from tests.kits.charts import archive
from tests.kits.repository import ROOT, Repo, Typed
from tests.kits.run import clear

CASES = ROOT / "tests/cases/stacks"
FILES = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sorted(CASES.glob("*.yaml"))}
_END = "-1.0.0.tgz"


@dataclass(kw_only=True)
class Case:
    """A repository on the test run's cluster, and the last command typed in it."""

    repo: Repo
    kube: Kube
    helm: Path
    cluster: Cluster
    typed: list[Typed] = field(default_factory=list)

    def own(self, text: str) -> str:
        """A text with names of this test's own."""
        space = self.repo.namespace
        text = text.replace("namespace: case", f"namespace: {space}").replace("case/", f"{space}/")
        text = text.replace("example.com", f"{space}.example.com")
        return text.replace("name: case\n", f"name: {space}\n").replace("case-sc", f"{space}-sc")

    def do(self, step: dict[str, Any]) -> None:
        (verb, what), *more = step.items()
        getattr(self, f"_{verb}")(self.own(what) if isinstance(what, str) else what, **dict(more))

    def _run(self, words: str, *, exit: int = 0, says: list[str] = [], lacks: list[str] = []) -> None:  # noqa: A002, B006
        others = "DEVTOOLS_PROVIDER" in self.repo.env and words.startswith(("up", "layer ", "down"))
        agree = ["--yes"] if others else []
        typed = self.repo.invoke(*words.split(), *agree)
        self.typed.append(typed)
        assert typed.code == exit, typed.text
        flat = " ".join(typed.text.split())
        assert [text for text in says if self.own(text) not in flat] == [], typed.text
        assert [text for text in lacks if text in typed.text] == [], typed.text

    def _crds(self, kinds: list[str]) -> None:
        group = f".{self.repo.namespace}.example.com"
        found = [item["name"] for item in self.kube.metadata(CRDS) if item["name"].endswith(group)]
        assert sorted(found) == sorted(f"{kind.lower()}s{group}" for kind in kinds)

    def _configmap(self, name: str, *, data: dict[str, str]) -> None:
        live = self.kube.get(f"/api/v1/namespaces/{self.repo.namespace}/configmaps/{name}")
        assert live is not None
        assert data.items() <= live["data"].items()

    def _get(self, path: str, *, has: dict[str, Any]) -> None:
        live = self.kube.get(path)
        assert live is not None
        assert {key: self.own(value) for key, value in has.items()}.items() <= live.items()

    def _edit(self, name: str, *, old: str, new: str) -> None:
        self.repo.edit(name, old, new)

    def _write(self, name: str, *, text: str) -> None:
        self.repo.write(name, text)

    def _delete(self, path: str) -> None:
        self.kube.delete(path)

    def _helm(self, words: str) -> None:
        """Helm by hand, beside us."""
        where = ("--kubeconfig", str(self.cluster.kubeconfig), "--kube-context", self.cluster.context)
        argv = [str(self.helm), *words.split(), "--namespace", self.repo.namespace, *where]
        subprocess.run(argv, check=True, env={"PATH": os.environ["PATH"], "HOME": str(self.repo.path)}, timeout=120)

    def _git(self, branch: str) -> None:
        """Commit everything."""
        git = ("git", "-c", "user.email=a@example.com", "-c", "user.name=a")
        for words in (("init", "-q", "-b", branch), ("add", "-A"), ("commit", "-qm", "all")):
            subprocess.run([*git, *words], check=True, cwd=self.repo.path, env={"PATH": os.environ["PATH"]})

    def _insecure(self, context: str) -> None:
        """Use the cluster as somebody else's, by a kubeconfig that does not verify its certificate."""
        document = yaml.safe_load(self.cluster.kubeconfig.read_text("utf-8"))
        entry = next(item for item in document["clusters"])["cluster"]
        entry.pop("certificate-authority-data", None)
        entry.pop("certificate-authority", None)
        entry["insecure-skip-tls-verify"] = True
        document["contexts"][0]["name"] = document["current-context"] = context
        kubeconfig = self.repo.write("kubeconfig", yaml.safe_dump(document))
        where = f"allowed_contexts: [{context}]\ncluster: {{provider: context, context: {context}}}\n"
        self.repo.write("devtools.yaml", f"name: {self.repo.namespace}\n{where}")
        self.repo.env |= {"KUBECONFIG": str(kubeconfig), "DEVTOOLS_PROVIDER": "context"}


@pytest.fixture
def case(cluster: Cluster, app: Any, tool: Callable[[str], Path], namespace: str, tmp_path: Path) -> Iterator[Case]:
    """An empty repository and the cluster; what is in the namespace and of the group goes afterwards."""
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    repo = Repo(path=tmp_path / "repo", namespace=namespace, app=app)
    yield Case(repo=repo, kube=kube, helm=tool("helm"), cluster=cluster)
    clear(kube, namespace, whole=bool(os.environ.get("DEVTOOLS_TEST_KEEP")))
    for item in kube.metadata(CRDS):
        if item["name"].endswith(f".{namespace}.example.com"):
            kube.delete(f"{CRDS}/{item['name']}")
    kube.delete(f"/apis/storage.k8s.io/v1/storageclasses/{namespace}-sc")


def _content(text: str | dict[str, Any]) -> bytes:
    """A file's text, or a text with so many blanks behind it."""
    return text.encode() if isinstance(text, str) else text["text"].encode() + b" " * text["blanks"]


def _marked(name: str) -> Any:
    return pytest.param(FILES[name], id=name, marks=[pytest.mark.real] if FILES[name].get("real") else [])


@pytest.mark.cluster
@pytest.mark.parametrize("data", [_marked(name) for name in FILES])
def test_field_case(case: Case, data: dict[str, Any]) -> None:
    case.repo.write("tasks.py", "from devtools.tasks import namespace\n")
    case.repo.write("devtools.yaml", f"name: {case.repo.namespace}\n")
    for name, text in data["files"].items():
        path = case.repo.write(name, "")
        path.write_bytes(case.own(text).encode())
        path.chmod(0o755)
    for name, members in data.get("archives", {}).items():
        path = case.repo.write(name, "")
        archive(path.parent, {member: _content(text) for member, text in members.items()}, name=path.name[: -len(_END)])
    for step in data["steps"]:
        case.do(step)
