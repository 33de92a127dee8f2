"""What must not touch anything, and what must leave nothing: on a cluster of their own, listed before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from devtools.app.environment import App
from devtools.clusters.embedded.provider import KwokProvider
from devtools.clusters.provider import Cluster
from devtools.kube.client import ApiError, Kube
from devtools.process.runner import Cancel
from tests.kits.repository import CONFIG_MAP, Repo

pytestmark = pytest.mark.cluster
# What a cluster changes by itself; of the Stages, the one that makes kwok look for new kinds.
QUIET = {"events", "leases", "nodes", "endpointslices", "endpoints", "stages"}
PASSING = {"events", "leases", "endpoints", "endpointslices", "nodes"}  # nodes may join after the start
LAYER = """\
stage: things
releases:
  - {name: kinds, namespace: operators, chart: platform/kinds, contract: [{kind: CustomResourceDefinition, name: things.example.com}]}
  - {name: app, namespace: app, chart: platform/app, needs: [operators/kinds], contract: [{kind: Deployment, name: app}, {kind: PersistentVolumeClaim, name: data}]}
"""  # noqa: E501
RULES = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: things}
rules: [{apiGroups: [example.com], resources: [things], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: things}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: things}
subjects: [{kind: ServiceAccount, name: things, namespace: operators}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: things}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: things}
webhooks:
  - name: things.example.com
    sideEffects: None
    admissionReviewVersions: [v1]
    clientConfig: {service: {name: things, namespace: operators}}
    rules: [{apiGroups: [example.com], apiVersions: [v1], resources: [things], operations: [CREATE]}]
"""
APP = """\
apiVersion: example.com/v1
kind: Thing
metadata: {name: ours}
---
apiVersion: v1
kind: Secret
metadata: {name: settings}
stringData: {a: b}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers: [{name: app, image: example.invalid/app:1, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""


def crd(kind: str) -> str:
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return yaml.safe_dump({**head, "metadata": {"name": f"{plural}.example.com"}, "spec": spec})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A cluster that nobody else uses, and what makes a command take it."""

    cluster: Cluster
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A repository and a cluster that nobody else uses."""

    repo: Repo
    kube: Kube

    def versions(self, without: set[str]) -> dict[tuple[str, str, str], str]:
        """Each object of the cluster (API version, plural, place and name), with its resource version."""
        found = {}
        self.kube.discover()
        for resource in self.kube.served():
            if resource.plural in without or "/" in resource.plural:
                continue
            try:
                items = self.kube.metadata(resource.path())
            except ApiError:
                continue  # a kind that cannot be listed
            for item in items:
                name = f"{item.get('namespace', '')}/{item['name']}"
                found[resource.api_version, resource.plural, name] = str(item.get("resourceVersion", ""))
        return found

    def everything(self) -> set[str]:
        """Each object of the cluster."""
        return {f"{plural} {name}" for _, plural, name in self.versions(PASSING)}

    def more_than(self, before: set[str], wanted: set[str]) -> set[str]:
        """What there is now and was not before, once it is what is wanted: volumes follow their claims in a moment."""
        deadline = time.monotonic() + 120
        while (more := self.everything() - before) != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        return more


@pytest.fixture(scope="module")
def alone(app: App, tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A cluster for the tests of this file, one after the other; without a real node."""
    name, state = f"own-{uuid4().hex[:6]}", tmp_path_factory.mktemp("own")
    stages, place = tuple(sorted(app.settings.simulation.glob("*.yaml"))), state / "clusters" / name
    provider = KwokProvider(name, runner=app.runner, tool=tool, state=place, stages=stages, real_node="off")
    try:
        yield Alone(env={"DEVTOOLS_CLUSTER": name, "DEVTOOLS_STATE": str(state)}, cluster=provider.ensure(print))
    finally:
        provider.delete(print)


@pytest.fixture
def own(alone: Alone, offline: Repo) -> Own:
    offline.env = dict(alone.env)
    return Own(repo=offline, kube=Kube(alone.cluster.kubeconfig, alone.cluster.context, Cancel()))


def test_a_dry_run_touches_nothing(own: Own) -> None:
    repo = own.repo
    assert repo.invoke("up", "--no-test").code == 0
    repo.edit("layers/10-base.yaml", "say: hello", "say: world")
    before = own.versions(QUIET)
    files = sorted(repo.path.rglob("*"))
    for words in (("layer", "10"), ("up", "--force"), ("down",)):
        typed = repo.invoke(*words, "--dry-run")
        assert typed.code == 0, typed.text
    assert "inputs changed" in repo.invoke("layer", "10", "--dry-run").text
    assert own.versions(QUIET) == before
    assert sorted(repo.path.rglob("*")) == files


def _declare_things(repo: Repo) -> None:
    repo.write("layers/20-things.yaml", LAYER)
    repo.chart("kinds", crd("Thing"), RULES)
    repo.write("charts/platform/kinds/crds/other.yaml", crd("Other"))
    repo.chart("app", APP)


def test_invokes_own_dry_flag_touches_nothing(own: Own) -> None:
    repo = own.repo
    assert repo.invoke("up", "--no-test").code == 0
    before = own.versions(QUIET)
    for words in (("down", "--dry"), ("--dry", "down"), ("down", "-R"), ("layer", "10", "--dry")):
        typed = repo.invoke(*words)
        assert (typed.code, "dry run" in typed.text) == (0, True), typed.text
    refused = repo.invoke("cluster.delete", "--dry")
    assert (refused.code, "cluster.delete has no dry run" in refused.err) == (2, True)
    assert own.versions(QUIET) == before


def test_nothing_remains(own: Own) -> None:
    repo, before = own.repo, own.everything()
    _declare_things(repo)
    kinds = {"customresourcedefinitions /things.example.com", "customresourcedefinitions /others.example.com"}
    kinds.add("apiservices /v1.example.com")
    assert repo.invoke("up").code == 0
    assert {"namespaces /app", "things app/ours", "clusterroles /things"} < own.everything() - before

    typed = repo.invoke("down", "--output", "json")  # CRDs stay
    assert typed.code == 0, typed.text
    assert typed.document["reason"] == "2 CRDs are kept, with every object of their kinds"
    assert own.more_than(before, kinds) == kinds

    typed = repo.invoke("up", "--no-test", "--output", "json")  # and are taken over
    assert typed.code == 0, typed.text
    assert {item["outcome"] for item in typed.document["releases"]} == {"installed"}

    own.kube.create("/api/v1/namespaces", {"metadata": {"name": "theirs"}})
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "precious"}}
    own.kube.create("/apis/example.com/v1/namespaces/theirs/things", thing)
    planned = repo.invoke("down", "--crds", "--dry-run")
    assert "  cluster\n" in planned.out
    assert planned.out.index("    delete     CRDs") > planned.out.index("operators/kinds")

    typed = repo.invoke("down", "--crds")  # not with what is theirs
    assert typed.code == 1, typed.text
    for printed in ("1 Thing", "theirs/Thing/precious", "invoke down --crds --force", "Retry:  invoke down --crds\n"):
        assert printed in typed.out or printed in " ".join(typed.out.split())
    theirs = {"namespaces /theirs", "configmaps theirs/kube-root-ca.crt", "serviceaccounts theirs/default"}
    assert own.more_than(before, kinds | theirs | {"things theirs/precious"}) == kinds | theirs | {
        "things theirs/precious"
    }

    typed = repo.invoke("down", "--crds", "--force", "--output", "json")
    assert typed.code == 0, typed.text
    assert [(item["release"], item["outcome"]) for item in typed.document["releases"]] == [
        (f"CRDs/{repo.namespace}", "uninstalled")
    ]
    assert own.more_than(before, theirs) == theirs


def test_what_does_not_go_together_is_refused(offline: Repo) -> None:
    for words, says in ((("--crds", "--undeclared"), "cannot be combined"), (("--force",), "down --crds --force")):
        typed = offline.invoke("down", *words)
        assert (typed.code, says in typed.err) == (2, True), typed.text


HOOK = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: "{{ .Release.Namespace }}-made"
  annotations: {helm.sh/hook: post-install}
rules: []
"""


def test_what_hooks_left_is_named_and_stays(repo: Repo, cluster: Cluster) -> None:
    repo.chart("conf", CONFIG_MAP, HOOK)
    kube, name = Kube(cluster.kubeconfig, cluster.context, Cancel()), f"{repo.namespace}-made"
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"
    try:
        assert repo.invoke("up", "--no-test").code == 0
        typed = repo.invoke("down", "--crds")
        assert typed.code == 0, typed.text
        named = f"helm leaves what hooks made (kubectl delete removes it): clusterrole/{name}"
        assert named in " ".join(typed.text.split())
        assert kube.get(f"/api/v1/namespaces/{repo.namespace}") is None
        assert kube.get(path), "a hook may have made what holds data"
    finally:
        kube.delete(path)
