"""Secrets of the environment that references put under keys that do not sound secret, and in commands."""

from __future__ import annotations

import pytest

from tests.kits.marks import Marks
from tests.kits.repository import Repo
from tests.kits.run import Bench

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  all: {{ toYaml .Values | quote }}
  listen: {{ .Values.listen | quote }}
"""
LAYER = """\
stage: base
releases:
  - name: conf
    chart: platform/conf
    before: [{run: [echo, "${database.password}", --token, TOKEN]}]
    values:
      words: ["--with=${database.password}"]
      listen: ${clientToken}
      domain: ${domain}
"""


def make(offline: Repo, marks: Marks) -> None:
    offline.write("devtools.yaml", f"name: {offline.namespace}\nreferences: true\n")
    values = f"domain: example.com\nclientToken: {marks['bearer']}\ndatabase: {{password: {marks['password']}}}\n"
    offline.write("environments/local/environment.yaml", values)
    offline.write("environments/local/10-base/conf.yaml", "more: {over: '${clientToken}'}\n")
    offline.write("layers/10-base.yaml", LAYER.replace("TOKEN", marks["argument"]))
    offline.chart("conf", CONFIG_MAP)


def test_they_are_hidden_wherever_they_are_put(offline: Repo) -> None:
    marks = Marks()
    make(offline, marks)
    printed = [
        offline.invoke(*words, env={"DEVTOOLS_CLUSTER": "not-there"})
        for words in (
            ("values", "conf"),
            ("values", "conf", "--explain"),
            ("values", "conf", "--output", "json"),
            ("plan", "10"),
            *(("plan", "10", "--diff", "--output", output) for output in ("text", "json", "markdown")),
            ("render", "10", "--to", "rendered", "--values"),
        )
    ]
    assert [one.code for one in printed] == [0] * len(printed), [one.text for one in printed if one.code]
    assert [marks.found_in(one.text) for one in printed] == [[]] * len(printed)
    assert marks.found_below(offline.path / "rendered") == {}
    assert "domain: example.com" in printed[0].out
    shown = offline.invoke("values", "conf", "--show-secrets").out
    assert sorted(marks.found_in(shown)) == ["bearer", "password"]
    rendered = offline.invoke("render", "10", "--to", "shown", "--values", "--show-secrets")
    assert rendered.code == 0, rendered.text
    assert len(marks.found_below(offline.path / "shown")) == 2


@pytest.mark.cluster
def test_drift_hides_what_was_deployed(repo: Repo, bench: Bench) -> None:
    marks = Marks()
    make(repo, marks)
    up = repo.invoke("layer", "10")
    assert up.code == 0, up.text
    bench.kube.merge(
        f"/api/v1/namespaces/{repo.namespace}/configmaps/conf", {"data": {"all": "by hand", "listen": "x"}}
    )
    make(repo, Marks())
    found = [repo.invoke("drift", "10", "--output", output) for output in ("text", "json")]
    assert ["by hand" in one.out for one in found] == [True, True], found[0].text
    assert [marks.found_in(one.text) for one in found] == [[], []]
