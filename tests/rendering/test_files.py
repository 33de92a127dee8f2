"""`invoke render` as a user types it, without a cluster: which files there are, and what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.kits.repository import Repo

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: elsewhere}
spec:
  template:
    metadata: {annotations: {sum: {{ randAlphaNum 8 | quote }}}}
    spec: {containers: [{name: app, image: "app:1", args: ["{{ uuidv4 }}"]}]}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: {{ .Values.password }}, user: admin}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "web:conf"}
data: {url: "postgres://app:{{ .Values.password }}@db/app", say: hello}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}
{{- if .Capabilities.APIVersions.Has "example.com/v1/Thing" }}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one}
{{- end }}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {group: example.com, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true}]}
"""
LAYER = """\
stage: apps
releases:
  - {name: kinds, chart: platform/kinds}
  - name: web
    chart: platform/web
    needs: [NAMESPACE/kinds]
    values: {password: correct-horse-battery}
"""


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.yaml")}


def make(offline: Repo) -> str:
    offline.chart("web", WEB)
    offline.chart("kinds")
    offline.write("charts/platform/kinds/crds/things.yaml", CRD)
    offline.write("layers/20-apps.yaml", LAYER.replace("NAMESPACE", offline.namespace))
    return f"20-apps/{offline.namespace}"


def test_each_object_is_a_file_with_reproducible_bytes(offline: Repo) -> None:
    root = make(offline)
    first = offline.invoke("render", "20", "--to", "one", "--values", "--output", "json")
    assert first.code == 0, first.text
    assert offline.invoke("render", "20", "--to", "two", "--values").code == 0
    one = contents(offline.path / "one")
    assert one == contents(offline.path / "two")
    assert set(one) - {".devtools-export.yaml"} == {
        *(f"{root}_web/{name}.yaml" for name in ("deployment_elsewhere_web", "secret_web", "configmap_web-conf")),
        *(f"{root}_web/{name}.yaml" for name in ("thing_one", "hooks/job_migrate", "values")),
        f"{root}_kinds/crds/customresourcedefinition_things.example.com.yaml",
        f"{root}_kinds/values.yaml",
    }
    assert first.document["files"] == len(first.document["written"]) == 8
    assert not [name for name, text in one.items() if b"horse" in text]
    secret = yaml.load(one[f"{root}_web/secret_web.yaml"], yaml.CSafeLoader)
    assert secret["stringData"] == {"password": "***", "user": "***"}
    pod = yaml.load(one[f"{root}_web/deployment_elsewhere_web.yaml"], yaml.CSafeLoader)["spec"]["template"]
    assert pod["metadata"]["annotations"]["sum"] == "***"
    assert pod["spec"]["containers"][0]["args"] == "***"


def test_secrets_are_written_only_when_asked_for(offline: Repo) -> None:
    root = make(offline)
    assert offline.invoke("render", "--to", "out", "--show-secrets", "--values").code == 0
    found = contents(offline.path / "out")
    assert (
        yaml.load(found[f"{root}_web/secret_web.yaml"], yaml.CSafeLoader)["stringData"]["password"]
        == "correct-horse-battery"
    )
    assert b"correct-horse" in found[f"{root}_web/values.yaml"]


def test_files_of_others_stay_and_ours_go(offline: Repo) -> None:
    root = make(offline)
    edited = offline.write(f"out/{root}_web/secret_web.yaml", "mine\n")
    refused = offline.invoke("render", "--to", "out")
    assert refused.code == 2
    assert "was not written by an export" in refused.err
    assert edited.read_text() == "mine\n"
    assert offline.invoke("render", "--to", "out", "--overwrite").code == 0
    offline.edit("charts/platform/web/templates/0.yaml", "kind: Job", "kind: CronJob")
    document = offline.invoke("render", "--to", "out", "--output", "json").document
    assert document["removed"] == [f"{root}_web/hooks/job_migrate.yaml"]
    assert document["written"] == [f"{root}_web/hooks/cronjob_migrate.yaml"]


def test_every_chart_that_does_not_render_is_named(offline: Repo) -> None:
    make(offline)
    offline.edit("charts/platform/web/templates/0.yaml", "{{ uuidv4 }}", "{{ .Values.a.b.c }}")
    offline.edit("charts/platform/conf/templates/0.yaml", ".Values.say", ".Values.say.deep.er")
    failed = offline.invoke("render", "--to", "out")
    assert failed.code == 2
    assert failed.err.count("cannot be rendered") == 2
    assert not (offline.path / "out").exists()
    assert "--to is missing" in offline.invoke("render").err
    for name in ("tasks.py", "tasks.py/below"):
        failed = offline.invoke("render", "--to", name)
        assert f"error: --to {name} is a file, or below one" in failed.err
        assert failed.code == 2
    assert "contains the repository" in offline.invoke("render", "--to", "..").err


@pytest.mark.parametrize("name", ["layers", "environments/local", "charts/platform/web", ".git", ".devtools/x"])
def test_nothing_is_written_among_the_files_of_the_stack(offline: Repo, name: str) -> None:
    make(offline)
    failed = offline.invoke("render", "--to", name)
    assert failed.code == 2
    assert f"--to {name} is among the stack's own files" in failed.err
    assert not [*offline.path.rglob(".devtools-export.yaml")]
