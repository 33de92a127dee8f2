"""`invoke check` on a repository with faults of every kind: one run finds all of them, where they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kits.repository import Repo

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: "three"
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: example.invalid/app:1
          imagePullPolice: Always
"""
OTHERS = """\
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: old}
---
apiVersion: stranger.example.org/v1
kind: Stranger
metadata: {name: nobody}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one}
spec: {size: large}
"""
PER_ENVIRONMENT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: env}
data:
  {{- if .Values.dev }}
  a: {{ .Values.missing.deep.er }}
  {{- end }}
  b: "1"
"""
NOT_YAML = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: broken}
data:
  a: "never closed
"""
REQUIRED = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: needs}
data: {a: {{ required "a host is required" .Values.host }}}
"""
SCHEMA = '{"type": "object", "properties": {"port": {"type": "integer"}}}\n'
SUITE = """\
suite: conf
templates: [0.yaml]
tests:
  - it: says hello
    set: {say: hello}
    asserts:
      - equal: {path: data.say, value: goodbye}
"""
LAYER = """\
stage: apps
releases:
  - {name: kinds, chart: platform/kinds}
  - {name: web, chart: platform/web}
  - {name: others, chart: platform/others}
  - {name: env, chart: platform/env}
  - {name: not-yaml, chart: platform/not-yaml}
  - {name: required, chart: platform/required}
  - {name: schema, chart: platform/schema}
  - {name: lacking, chart: platform/lacking}
  - {name: icon, chart: platform/icon}
  - {name: plain, chart: manifests/plain}
  - {name: broken, chart: manifests/broken}
"""
PLAIN = """\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Service, metadata: {name: one}, spec: {ports: [{port: 80}]}}
  - apiVersion: v1
    kind: Service
    metadata: {name: two}
    spec:
      ports: [{port: 80}, {port: http}]
"""


def plant(repo: Repo) -> None:
    repo.chart("kinds")
    repo.write("charts/platform/kinds/crds/things.yaml", CRD)
    repo.chart("web", WEB)
    repo.chart("others", OTHERS)
    repo.chart("env", PER_ENVIRONMENT)
    repo.chart("not-yaml", NOT_YAML)
    repo.chart("required", REQUIRED)
    repo.chart("schema")
    repo.write("charts/platform/schema/values.schema.json", SCHEMA)
    repo.chart("lacking")
    chart = "apiVersion: v2\nname: lacking\nversion: 0.1.0\ndependencies:\n"
    repo.write(
        "charts/platform/lacking/Chart.yaml", chart + "  - {name: base, version: 1.2.3, repository: 'https://x'}\n"
    )
    repo.chart("icon")
    repo.write("charts/platform/icon/Chart.yaml", "apiVersion: v2\nname: icon\nversion: 0.1.0\nicon: 'not a url'\n")
    repo.write("charts/platform/conf/tests/conf_test.yaml", SUITE)
    repo.write("charts/manifests/plain/below/services.yaml", PLAIN)
    repo.write("charts/manifests/broken/a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {}\n")
    repo.write("layers/20-apps.yaml", LAYER)
    repo.write("environments/dev/20-apps/env.yaml", "dev: true\n")
    repo.write("environments/dev/20-apps/schema.yaml", "# a port\nport: http\n")
    repo.write("environments/staging/environment.yaml", "a: [1\n")


EXPECTED = {
    "charts/platform/web/templates/0.yaml:5": "Deployment/web: .spec.replicas: got string, want null or integer",
    "charts/platform/web/templates/0.yaml:13": "unknown field .spec.template.spec.containers.0.imagePullPolice",
    "charts/platform/others/templates/0.yaml:1": "this Kubernetes does not serve this kind: Ingress",
    "charts/platform/others/templates/0.yaml:5": "no CRD of the stack defines this kind: Stranger",
    "charts/platform/others/templates/0.yaml:12": "Thing/one: .spec.size: got string, want null or integer",
    "charts/platform/env/templates/0.yaml:6": "nil pointer evaluating interface {}.deep",
    "charts/platform/not-yaml/templates/0.yaml:5": "it does not render to YAML",
    "charts/platform/required/templates/0.yaml:4": "a host is required",
    "environments/dev/20-apps/schema.yaml:2": "value 'port': got string, want integer",
    "charts/platform/lacking/Chart.yaml:5": "dependency base 1.2.3 is not in charts/",
    "charts/platform/icon/Chart.yaml:1": "invalid icon URL",
    "charts/platform/conf/tests/conf_test.yaml:4": "test 'says hello' failed",
    "charts/manifests/plain/below/services.yaml:9": "Service/two: .spec.ports.1.port: got string, want null or integer",
    "charts/manifests/broken/a.yaml:3": "metadata.name is missing or not text",
    "environments/staging/environment.yaml:2": "",
}
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "GOPROXY"), "http://127.0.0.1:1")


def places(document: dict[str, Any]) -> dict[str, str]:
    return {
        f"{item['file']}:{item['line']}": item["message"]
        for item in document["findings"]
        if item["severity"] == "error"
    }


def test_one_check_finds_every_fault_without_network(offline: Repo) -> None:
    assert offline.invoke("check", env=OFFLINE).code == 0
    plant(offline)
    checked = offline.invoke("check", "--output", "json", env=OFFLINE)
    assert checked.code == 2, checked.text
    found = places(checked.document)
    assert {place: message for place, message in EXPECTED.items() if message not in found.get(place, "(none)")} == {}
    assert set(found) == set(EXPECTED)
    only = {item["file"]: item["environments"] for item in checked.document["findings"]}
    assert only["charts/platform/env/templates/0.yaml"] == ["dev"]
    assert only["charts/platform/web/templates/0.yaml"] == ["dev", "local"]
    text = offline.invoke("check", env=OFFLINE)
    assert text.code == 2
    assert all(place in text.out for place in EXPECTED)
    assert f"{len(EXPECTED)} errors and 1 warning:" in text.out  # helm lint knows that the Ingress is deprecated, too


@pytest.mark.cluster
def test_the_server_finds_what_schemas_do_not(offline: Repo) -> None:
    offline.chart("ports", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec:\n  ports: [{port: 99999}]\n")
    offline.write("layers/20-apps.yaml", "stage: apps\nreleases: [{name: ports, chart: platform/ports}]\n")
    assert offline.invoke("check", "20").code == 0
    checked = offline.invoke("check", "20", "--server", "--output", "json")
    assert checked.code == 2, checked.text
    (item,) = checked.document["findings"]
    assert (item["check"], item["file"], item["line"]) == ("server", "charts/platform/ports/templates/0.yaml", 5)
    assert "must be between 1 and 65535" in item["message"]
