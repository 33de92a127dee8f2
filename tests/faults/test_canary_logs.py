"""Secrets under every usual name, and in logs, are in no output and no file of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.marks import Marks, readable_by_others
from tests.kits.repository import Repo, Typed
from tests.kits.run import job

pytestmark = pytest.mark.cluster
CONF = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  say: {{ .Values.say | quote }}
  DB_PWD: {{ .Values.extra.pwd | quote }}
  address: {{ .Values.extra.url | quote }}
  all: {{ toYaml .Values | quote }}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-auth}
stringData: {password: {{ .Values.auth.password | quote }}}
"""
SCHEMA = """\
{"properties": {"extra": {"properties": {"pass": {"pattern": "^x$"}, "key": {"enum": ["a"]}}},
 "env": {"items": {"properties": {"value": {"const": "a"}}}}}}
"""
FAILS = {
    "fail": '{{ fail (printf "cannot use %v of %s" .Values.extra (toYaml .Values.env)) }}',
    "YAML": "a: {{ .Values.extra.pass }}: {{ .Values.extra.url }}\n",
    "object": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {{ toJson .Values }}\n",
}


def _values(marks: Marks) -> dict[str, Any]:
    pem = f"-----BEGIN RSA PRIVATE KEY-----\n{marks['pem']}\nMIIE{marks['pem']}\n-----END RSA PRIVATE KEY-----\n"
    return {
        "auth": {"password": marks["password"]},
        "extra": {
            **{name: marks[name] for name in ("pass", "pwd", "key", "bearer", "cookie")},
            "url": f"postgres://app:{marks['url']}@db:5432/app",
            "app.properties": f"spring.datasource.password={marks['file']}\nport=8080\n",
            "server.pem": pem,
        },
        "env": [{"name": "DB_PASSWORD", "value": marks["env"]}],
        "args": ["--user", "app", "--password", marks["argument"]],
    }


@pytest.fixture
def marks() -> Marks:
    return Marks()


@pytest.fixture
def marked(repo: Repo, marks: Marks) -> Repo:
    """Secrets under every usual name in values, in a ConfigMap and a Secret, and in the environment."""
    repo.chart("conf", CONF)
    repo.write("environments/local/10-base/conf.yaml", yaml.safe_dump(_values(marks)))
    repo.env = {"SOME_API_TOKEN": marks["environ"]}
    return repo


def _printed(repo: Repo, code: int, *words: str) -> list[Typed]:
    """What a command prints in each output."""
    typed = [repo.invoke(*words, "--output", output) for output in ("text", "json", "jsonl")]
    assert {one.code for one in typed} == {code}, typed[0].text
    return typed


@pytest.mark.parametrize("how", ["schema", *FAILS])
def test_what_helm_complains_of(marked: Repo, marks: Marks, how: str) -> None:
    if how == "schema":
        marked.write("charts/platform/conf/values.schema.json", SCHEMA)
    else:
        marked.write("charts/platform/conf/templates/1.yaml", FAILS[how])
    typed = _printed(marked, 1, "layer", "10", "--no-test", "--verbose")
    assert marks.found_in(*(one.text for one in typed)) == []
    assert marks.found_below(marked.path / ".devtools") == {}
    assert "***" in typed[0].text or how in {"YAML", "object"}, "helm quoted a value"


@pytest.mark.parametrize("key", ["before", "after"])
@pytest.mark.parametrize("whose", ["release", "stack"])
def test_what_commands_print(marked: Repo, marks: Marks, whose: str, key: str) -> None:
    hook = f"{key}: [{{run: [sh, -c, 'env; env >&2; exit 7']}}]\n"
    if whose == "release":
        marked.edit("layers/10-base.yaml", "    values:", f"    {hook}    values:")
    else:
        marked.write("devtools.yaml", f"name: {marked.namespace}\n{hook}")
    typed = _printed(marked, 1, "layer", "10", "--no-test", "--force", "--verbose")
    assert marks.found_in(*(one.text for one in typed)) == []
    assert marks.found_below(marked.path / ".devtools") == {}
    assert "SOME_API_TOKEN=***" in typed[0].text


def test_what_drift_and_values_show(marked: Repo, marks: Marks, cluster: Cluster) -> None:
    assert marked.invoke("layer", "10", "--no-test").code == 0
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    path = f"/api/v1/namespaces/{marked.namespace}/configmaps/conf"
    kube.merge(path, {"data": {"DB_PWD": marks["live"], "address": f"postgres://app:{marks['live-url']}@db/app"}})
    kube.merge(path, {"data": {"all": f"changed\npassword: {marks['live']}\nenv: {marks['env']}"}})
    printed = [marked.invoke("drift", "--output", output) for output in ("text", "json")]
    assert [one.code for one in printed] == [1, 1]
    fields = {item["path"]: item for item in printed[1].document["releases"][0]["drifts"][0]["fields"]}
    assert fields[".data.DB_PWD"]["hidden"] is True
    assert fields[".data.address"]["live"] == "postgres://app:***@db/app"
    printed += [marked.invoke("values", "conf", *more) for more in ((), ("--explain",), ("--output", "json"))]
    printed += [marked.invoke("plan", "--output", output) for output in ("text", "json")]
    assert marks.found_in(*(one.text for one in printed)) == []
    assert marks["password"] in marked.invoke("values", "conf", "--show-secrets").text


SCRIPT = """
printf '%s' "$DB_PASSWORD" | base64
printf 'a:%s' "$GENERATED" | base64
printf '{"password":"%s","x":1}\\n' "$FROM_SECRET"
cat /pem/server.pem; base64 /pem/server.pem
head -c 65530 /dev/zero | tr '\\0' x; printf '%s' "$DB_PASSWORD"; head -c 70000 /dev/zero | tr '\\0' y; echo
echo "Authorization: Bearer $DB_PASSWORD"
echo "last: $DB_PASSWORD and $GENERATED and $FROM_SECRET"
"""


def _logging_job(name: str, hook: str, marks: Marks, cluster: Cluster, end: str) -> dict[str, Any]:
    """A Job that prints every secret that it gets: by value, from a Secret, from a volume."""
    made = job(name, hook, "sh", "-c", SCRIPT + end, cluster=cluster)
    spec = made["spec"]["template"]["spec"]
    container = spec["containers"][0]
    container["env"] = [
        {"name": "DB_PASSWORD", "value": marks["env"]},
        *(
            {"name": key, "valueFrom": {"secretKeyRef": {"name": "given", "key": key.lower()}}}
            for key in ("GENERATED", "FROM_SECRET")
        ),
    ]
    container["volumeMounts"] = [{"name": "pem", "mountPath": "/pem"}]
    spec["volumes"] = [{"name": "pem", "secret": {"secretName": "given"}}]
    return made


def _secret(repo: Repo, kube: Kube, marks: Marks) -> None:
    """A Secret that no release of ours declares, as an operator would have made it."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": repo.namespace}}
    kube.apply(f"/api/v1/namespaces/{repo.namespace}", namespace)
    pem = "\n".join(["-----BEGIN KEY-----", *[marks["pem"] * 3] * 3, "-----END KEY-----", ""])
    data = {"generated": marks["generated"], "from_secret": marks["secret"], "server.pem": pem}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given"}, "stringData": data}
    kube.apply(f"/api/v1/namespaces/{repo.namespace}/secrets/given", body)


@pytest.mark.real
@pytest.mark.parametrize("hook", ["test", "pre-upgrade"])
def test_what_containers_print(marked: Repo, marks: Marks, cluster: Cluster, hook: str) -> None:
    _secret(marked, Kube(cluster.kubeconfig, cluster.context, Cancel()), marks)
    marked.write("layers/60-tests.yaml", LAYERS[hook])
    writes: Callable[[str], None] = lambda end: marked.chart(  # noqa: E731 - twice, below
        "says", *(yaml.safe_dump(_logging_job("says", hook, marks, cluster, end)),)
    )
    writes("exit 0")
    printed = [marked.invoke("layer", "60", "--verbose")]
    assert printed[0].code == 0, printed[0].text
    writes("exit 3")
    printed += _printed(marked, 1, "layer", "60", "--verbose")
    assert marks.found_in(*(one.text for one in printed)) == []
    assert marks.found_below(marked.path / ".devtools") == {}
    assert all("last: *** and *** and ***" in one.text for one in printed[1:]), "the log was read"
    assert readable_by_others(marked.path / ".devtools" / "runs") == []


LAYERS = {
    "test": "stage: tests\nreleases:\n  - {name: says, chart: platform/says, smoke: true}\n",
    "pre-upgrade": "stage: tests\nreleases:\n  - {name: says, chart: platform/says}\n",
}


def test_the_marks_are_found_where_they_are(tmp_path: Path, marks: Marks) -> None:
    (tmp_path / "a").write_text(f"x {marks['pass']} y")
    assert marks.found_below(tmp_path) == {str(tmp_path / "a"): ["pass"]}
    assert readable_by_others(tmp_path)
