"""`invoke plan --diff` as a user types it: what it predicts on the embedded cluster, and what it leaves alone."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Values.app }}}}
  template:
    metadata: {labels: {app: {{ .Values.app }}}}
    spec:
      containers:
        - name: app
          image: example.invalid/app:{{ .Values.tag }}
          env: [{name: DB_PASSWORD, value: "{{ .Values.password }}"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  say: {{ .Values.say | quote }}
  app.conf: |
    level: {{ .Values.level }}
    port: 80
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: "{{ .Values.password }}", user: admin}
{{- if .Values.extra }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: extra}
data: {password: {{ .Values.password }}, more: "yes"}
{{- end }}
{{- if .Values.random }}
---
apiVersion: v1
kind: Secret
metadata: {name: random}
stringData: {key: {{ randAlphaNum 12 }}, fixed: {{ .Values.say }}-fixed}
{{- end }}
{{- if .Values.hook }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: pre-upgrade}}
{{- end }}
"""
DEFAULTS = "{replicas: 2, app: web, tag: '1', say: hello, level: info, password: FIRST-marker, random: false}\n"
LAYER = """\
stage: apps
releases:
  - name: web
    chart: platform/web
    values: {say: hello}
"""


@pytest.fixture
def web(repo: Repo) -> Repo:
    """A release with something of everything, installed beside another one."""
    repo.chart("web", WEB)
    repo.write("charts/platform/web/values.yaml", DEFAULTS)
    repo.write("layers/20-apps.yaml", LAYER)
    first = repo.invoke("up", "--no-test")
    assert first.code == 0, first.text
    return repo


@pytest.fixture
def kube(cluster: Cluster) -> Kube:
    return Kube(cluster.kubeconfig, cluster.context, Cancel())


def values(repo: Repo, text: str) -> None:
    repo.write("layers/20-apps.yaml", LAYER.replace("{say: hello}", text))


def objects(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{item['kind']}/{item['name']}": item for one in document["releases"] for item in one["objects"]}


def paths(item: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {field["path"]: (field["before"], field["after"]) for field in item["fields"]}


def versions(kube: Kube, namespace: str) -> dict[str, str]:
    every = {}
    for kind in ("configmaps", "secrets"):
        for item in kube.metadata(f"/api/v1/namespaces/{namespace}/{kind}"):
            every[f"{kind}/{item['name']}"] = item["resourceVersion"]
    web = kube.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")
    assert web
    return {**every, "web": web["metadata"]["resourceVersion"]}


def test_one_value_is_one_field_and_nothing_is_written(web: Repo, kube: Kube) -> None:
    quiet = web.invoke("plan", "--diff")
    assert quiet.code == 0
    assert re.fullmatch(r"No changes: 3 releases in local are as declared \(.*\)\n", quiet.out), quiet.text
    before = versions(kube, web.namespace)
    values(web, "{say: goodbye}")
    changed = web.invoke("plan", "--diff", "--output", "json", "--fail-on-change")
    assert changed.code == 1, changed.text
    assert [release["release"] for release in changed.document["releases"]] == [f"{web.namespace}/web"]
    assert {name: paths(item) for name, item in objects(changed.document).items()} == {
        "ConfigMap/web": {".data.say": ("hello", "goodbye")}
    }
    assert changed.document["counts"]["restarts"] == 0
    assert versions(kube, web.namespace) == before
    text = web.invoke("layer", "20", "--dry-run", "--diff")
    assert text.code == 0
    assert '~ .data.say: "hello" → "goodbye"' in text.out
    assert web.invoke("up", "--no-test").code == 0
    again = web.invoke("plan", "--diff", "--fail-on-change")
    assert (again.code, again.out.count("\n")) == (0, 1), again.text


def test_restarts_texts_and_secrets(web: Repo) -> None:
    values(web, "{tag: '2', level: debug, password: SECOND-marker, extra: true, hook: true}")
    for output in ("text", "json", "markdown"):
        shown = web.invoke("plan", "--diff", "--output", output)
        assert shown.code == 0, shown.text
        for marker in (b"FIRST-marker", b"SECOND-marker"):
            assert marker.decode() not in shown.text
            assert base64.b64encode(marker).decode() not in shown.text
        assert "level: debug" in shown.out, output
    document = web.invoke("plan", "--diff", "--output", "json").document
    found = objects(document)
    pod = '.spec.template.spec.containers[name="app"]'
    assert set(paths(found["Deployment/web"])) == {f"{pod}.image", f'{pod}.env[name="DB_PASSWORD"].value'}
    assert found["Deployment/web"]["restarts"] == 2
    assert paths(found["Secret/web"]) == {".data.password": (None, None)}
    assert found["Secret/web"]["fields"][0]["hidden"] is True
    assert found["ConfigMap/extra"]["action"] == "add"
    assert found["ConfigMap/extra"]["body"]["data"] == {"password": "***", "more": "yes"}
    assert document["releases"][0]["hooks"] == [{"events": ["pre-upgrade"], "kind": "ConfigMap", "name": "hook"}]


def test_what_is_refused_says_so_and_what_goes_is_shown(web: Repo, kube: Kube) -> None:
    namespace = web.namespace
    values(web, "{app: other, extra: true}")
    kube.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "extra"}, "data": {"a": "b"}})
    found = objects(web.invoke("plan", "--diff", "--output", "json").document)
    assert found["Deployment/web"]["action"] == "refuse"
    assert ".spec.selector cannot be changed" in found["Deployment/web"]["reason"]
    assert ".spec.selector.matchLabels.app" in paths(found["Deployment/web"])
    assert "no release created it" in found["ConfigMap/extra"]["reason"]
    insisting = ("--dry-run", "--diff", "--recreate", "web", "--take-ownership", "web", "--output", "json")
    found = objects(web.invoke("layer", "20", *insisting).document)
    assert (found["Deployment/web"]["action"], found["Deployment/web"]["restarts"]) == ("replace", 2)
    assert found["ConfigMap/extra"]["action"] == "change"
    assert paths(found["ConfigMap/extra"])[".data.more"] == (None, "yes")  # what others hold beside it stays


def test_another_owner_of_a_field_is_named(web: Repo, kube: Kube) -> None:
    path = f"/apis/apps/v1/namespaces/{web.namespace}/deployments/web"
    kube.merge(path, {"spec": {"replicas": 5}}, "kubectl-edit")
    values(web, "{replicas: 3}")
    shown = web.invoke("plan", "--diff")
    assert "~ .spec.replicas: 5 → 3  (kubectl-edit owns it: refused without --take-ownership)" in shown.out
    taking = web.invoke("up", "--dry-run", "--diff", "--take-ownership", "web")
    assert "~ .spec.replicas: 5 → 3\n" in taking.out


def test_fields_that_differ_at_each_rendering_are_marked(web: Repo) -> None:
    values(web, "{random: true}")
    assert web.invoke("up", "--no-test").code == 0
    values(web, "{random: true, say: bye}")
    found = objects(web.invoke("plan", "--diff", "--output", "json").document)
    marks = {field["path"]: field["varies"] for field in found["Secret/random"]["fields"]}
    assert marks == {".data.key": True, ".data.fixed": False}


def test_values_that_go_go_from_the_cluster(web: Repo, kube: Kube) -> None:
    """Helm keeps the values of the last revision if it is given none: it must not."""
    values(web, "{say: other}")
    assert web.invoke("up", "--no-test").code == 0
    values(web, "{}")
    found = objects(web.invoke("plan", "--diff", "--output", "json").document)
    assert paths(found["ConfigMap/web"]) == {".data.say": ("other", "hello")}
    assert web.invoke("up", "--no-test").code == 0
    item = kube.get(f"/api/v1/namespaces/{web.namespace}/configmaps/web")
    assert item
    assert item["data"]["say"] == "hello"


def test_what_another_helm_applied_is_compared_too(repo: Repo, kube: Kube, tool: Callable[[str], Path]) -> None:
    """A client-side apply, as by Helm 3, leaves no applier of its fields; what goes next is still found."""
    repo.chart("web", WEB)
    repo.write("charts/platform/web/values.yaml", DEFAULTS)
    helm = [str(tool("helm")), "install", "web", str(repo.path / "charts/platform/web"), "--server-side=false"]
    where = ["--namespace", repo.namespace, "--create-namespace", "--kubeconfig", str(kube._kubeconfig)]
    subprocess.run([*helm, *where, "--set", "say=hello"], check=True, capture_output=True)
    repo.write("layers/20-apps.yaml", LAYER)
    adopting = ("layer", "20", "--take-ownership", "web")
    quiet = repo.invoke(*adopting, "--dry-run", "--diff", "--output", "json")
    assert (quiet.code, objects(quiet.document)) == (0, {}), quiet.text
    repo.edit("charts/platform/web/templates/0.yaml", "  say: {{ .Values.say | quote }}\n", "")
    found = objects(repo.invoke(*adopting, "--dry-run", "--diff", "--output", "json").document)
    assert {name: paths(item) for name, item in found.items()} == {"ConfigMap/web": {".data.say": ("hello", None)}}
    assert repo.invoke(*adopting, "--no-test").code == 0
    item = kube.get(f"/api/v1/namespaces/{repo.namespace}/configmaps/web")
    assert item
    assert "say" not in item["data"]


def test_what_is_no_longer_declared_is_removed(web: Repo) -> None:
    values(web, "{extra: true}")
    assert web.invoke("up", "--no-test").code == 0
    values(web, "{}")
    assert objects(web.invoke("plan", "--diff", "--output", "json").document)["ConfigMap/extra"]["action"] == "remove"
    web.edit("layers/20-apps.yaml", "chart: platform/web", "chart: platform/web\n    installed: false")
    document = web.invoke("plan", "--diff", "--output", "json").document
    assert {item["action"] for item in objects(document).values()} == {"remove"}
    assert document["counts"]["uninstall"] == 1


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.NAMESPACE.example.com}
spec:
  group: NAMESPACE.example.com
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object,
       properties: {size: {type: integer}}}}}}}
"""
THING = """\
{{- if .Capabilities.APIVersions.Has "NAMESPACE.example.com/v1/Thing" }}
apiVersion: NAMESPACE.example.com/v1
kind: Thing
metadata: {name: one}
spec: {size: 1}
{{- end }}
"""


def test_a_resource_whose_crd_comes_first_is_added(web: Repo) -> None:
    crd = CRD.replace("NAMESPACE", web.namespace)
    web.chart("kinds")
    web.write("charts/platform/kinds/crds/things.yaml", crd)
    web.chart("things", THING.replace("NAMESPACE", web.namespace))
    web.write(
        "layers/20-apps.yaml",
        LAYER
        + "  - {name: kinds, chart: platform/kinds}\n"
        + f"  - {{name: things, chart: platform/things, needs: [{web.namespace}/kinds]}}\n",
    )
    planned = web.invoke("plan", "--diff", "--output", "json")
    assert planned.code == 0, planned.text
    found = objects(planned.document)
    assert found["Thing/one"]["action"] == "add"
    assert found["Thing/one"]["reason"] == "its CRD comes with this plan"
    done = web.invoke("up", "--no-test")
    assert done.code == 0, done.text
    web.write("charts/platform/kinds/crds/things.yaml", crd.replace("v1, served", "v2, served"))
    web.edit("layers/20-apps.yaml", "{name: kinds,", "{name: kinds, values: {a: 1},")
    found = objects(web.invoke("plan", "--diff", "--output", "json").document)
    (item,) = (item for item in found.values() if item["kind"] == "CustomResourceDefinition")
    assert item["action"] == "refuse"  # objects may be stored in v1
    assert {"gains v2", "loses v1", "storage version v1 → v2"} <= set(item["notes"])
    wider = crd.replace("{size: {type: integer}}", "{size: {type: integer}, color: {type: string}}")
    web.write("charts/platform/kinds/crds/things.yaml", wider)
    found = objects(web.invoke("plan", "--diff", "--output", "json").document)
    (item,) = (item for item in found.values() if item["kind"] == "CustomResourceDefinition")
    schema = ".spec.versions.v1.schema.openAPIV3Schema.properties.spec.properties"
    assert paths(item) == {f"{schema}.color": (None, {"type": "string"})}


def test_a_template_that_does_not_render_is_found(web: Repo) -> None:
    web.edit("charts/platform/web/templates/0.yaml", "{{ .Values.tag }}", "{{ .Values.tag.deep.er }}")
    shown = web.invoke("plan", "--diff")
    assert shown.code == 2
    assert "cannot be rendered" in shown.out
    assert "tag.deep.er" in shown.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("up", "--diff"), "--diff needs --dry-run"),
        (("plan", "--fail-on-change"), "--fail-on-change needs --diff"),
        (("plan", "--output", "markdown"), "--output markdown needs --diff"),
        (("plan", "--diff", "--output", "jsonl"), "choose one of text, json, markdown"),
    ],
)
def test_flags_that_do_not_fit_are_refused(offline: Repo, words: tuple[str, ...], hint: str) -> None:
    refused = offline.invoke(*words)
    assert refused.code == 2
    assert hint in refused.err
