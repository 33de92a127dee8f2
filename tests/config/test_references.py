"""References to values of the environment: what they become, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.base.yaml_positions import Document
from devtools.config.references.resolver import References, resolve_environment
from devtools.config.values import merge
from devtools.errors import ConfigError, Location
from devtools.model import Environment
from devtools.planning.plan import Selection
from devtools.project import Project, Request
from tests.kits.stack import load, printed, repository

ENVIRONMENT = """\
domain: example.com
port: 8080
enabled: true
ratio: 0.5
database: {host: "db.${domain}", port: 5432, labels: [a, "${domain}"]}
zones: [a, b]
literal: $${domain}
"""
LAYER = """\
stage: base
releases:
  - name: web
    namespace: shop-${port}
    chart: platform/web
    installed: enabled
    timeout: 30
    needs: []
    values:
      host: web.${domain}:${port}
      port: ${port}
      enabled: ${enabled}
      ratio: ${ratio}
      text: "${ratio} ${enabled}"
      database: ${database}
      zones: ${zones}
      list: [x, "${domain}"]
      dashboard: "$${DS_PROM} $${x} $$ $ $1 {{ .Values.x }}"
      behind: ${literal}
      "${key}": 1
      config: {file: files/app.conf}
      log: {$file: /var/log/x}
"""
FILES = {
    "devtools.yaml": "references: true\n",
    "layers/10-base.yaml": LAYER,
    "files/app.conf": "expr ${DS_PROM}\n",
    "environments/local/environment.yaml": ENVIRONMENT,
    "environments/local/10-base/web.yaml": "over: {host: '${database.host}'}\nplain: 1\n",
}


def test_what_references_become(tmp_path: Path) -> None:
    stack = load(repository(tmp_path, FILES))
    (release,) = stack.releases()
    assert (release.namespace, release.installed) == ("shop-8080", True)
    database = {"host": "db.example.com", "port": 5432, "labels": ["a", "example.com"]}
    assert merge(release, stack.environment, root=stack.root).data == {
        "host": "web.example.com:8080",
        "port": 8080,
        "enabled": True,
        "ratio": 0.5,
        "text": "0.5 true",
        "database": database,
        "zones": ["a", "b"],
        "list": ["x", "example.com"],
        "dashboard": "${DS_PROM} ${x} $$ $ $1 {{ .Values.x }}",
        "behind": "${domain}",
        "${key}": 1,
        "config": "expr ${DS_PROM}\n",
        "log": {"file": "/var/log/x"},
        "over": {"host": "db.example.com"},
        "plain": 1,
    }
    assert stack.environment.values["database"] == database


def test_both_places_of_a_value(tmp_path: Path) -> None:
    stack = load(repository(tmp_path, FILES))
    (release,) = stack.releases()
    origins = merge(release, stack.environment, root=stack.root).origins

    def places(*path: str) -> list[str]:
        return [str(origins[path]), *map(str, origins[path].sources)]

    environment = "environments/local/environment.yaml"
    assert places("host") == ["layers/10-base.yaml:10:7", f"{environment}:1:1", f"{environment}:2:1"]
    assert places("database", "port") == ["layers/10-base.yaml:15:7", f"{environment}:5:34"]
    assert places("list") == ["layers/10-base.yaml:17:7", f"{environment}:1:1"]
    assert places("config") == ["layers/10-base.yaml:21:7", "files/app.conf:1:1"]
    assert places("over", "host") == ["environments/local/10-base/web.yaml:1:8", f"{environment}:5:12"]
    assert places("plain") == ["environments/local/10-base/web.yaml:2:1"]


def test_nothing_is_replaced_unless_references_are_switched_on(tmp_path: Path) -> None:
    layer = (
        "stage: a\nreleases: [{name: a, namespace: ns, chart: platform/web, values: {a: '${x} $${y}', b: {file: z}}}]\n"
    )
    files = {"layers/10-a.yaml": layer, "environments/local/environment.yaml": "x: ${y}\n"}
    stack = load(repository(tmp_path, files))
    (release,) = stack.releases()
    assert merge(release, stack.environment).data == {"a": "${x} $${y}", "b": {"file": "z"}}
    assert stack.environment.values == {"x": "${y}"}


def test_a_link_is_not_read(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", FILES)
    (tmp_path / "secret").write_text("x")
    (root / "files/app.conf").unlink()
    for target in (tmp_path / "secret", root / "devtools.yaml"):
        (root / "files/app.conf").symlink_to(target)
        with pytest.raises(ConfigError) as caught:
            load(root)
        assert printed(caught.value)[0].startswith(
            "layers/10-base.yaml:21:16: file 'files/app.conf' is a link, or below one"
        )
        (root / "files/app.conf").unlink()


NAMES = st.sampled_from(["a", "b", "c", "d"])
PARTS = ["x", "$", "{", "}", "$$", "${a}", "${b}", "${c.a}", "${c.b}", "${d}", "$${", "${"]
TEXTS = st.lists(st.sampled_from(PARTS)).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES))
def test_resolving_ends_and_what_has_no_problem_has_no_reference(values: dict[str, Any], data: dict[str, Any]) -> None:
    where: dict[tuple[str | int, ...], Location] = {(key,): Location(file=Path("environment.yaml")) for key in values}
    environment, problems = resolve_environment(Environment(name="e", values=values, where=where), Path("/nowhere"))
    document = References(environment, Path("/nowhere"), broken=bool(problems)).resolve(
        Document(file=Path("layer.yaml"), data=data)
    )
    json.dumps([environment.values, document.data])
    assert all(problem.message for problem in (*problems, *document.problems))
    if not problems and not document.problems and "$${" not in json.dumps([values, data]):
        assert "${" not in json.dumps(document.data)


@given(VALUES, st.text(alphabet="x$ {}", max_size=6))
def test_text_is_a_literal_behind_two_dollars(value: Any, text: str) -> None:
    escaped = text.replace("${", "$${")
    environment = Environment(name="e", values={"a": value})
    document = Document(file=Path("x.yaml"), data={"whole": "${a}", "text": escaped})
    resolved = References(environment, Path("/nowhere")).resolve(document)
    assert resolved.data == {"whole": value, "text": text}
    assert not resolved.problems


@given(VALUES)
def test_what_has_no_reference_stays_the_same_document(value: Any) -> None:
    document = Document(file=Path("x.yaml"), data={"a": json.loads(json.dumps(value).replace("$", "x"))})
    assert References(Environment(name="e"), Path("/nowhere")).resolve(document) is document


def test_an_environment_extends_another(tmp_path: Path) -> None:
    layer = "stage: a\nreleases: [{name: a, namespace: ns, chart: platform/web, installed: flag}]\n"
    files = {
        "devtools.yaml": "references: true\nenvironments: {local: {extends: dev}, dev: {extends: base}}\n",
        "layers/10-a.yaml": layer,
        "environments/_shared/environment.yaml": "a: shared\nb: shared\nc: shared\nd: shared\nflag: false\n",
        "environments/base/environment.yaml": "b: base\nc: base\nd: base\n",
        "environments/base/platform/1.values.yaml": "flag: true\n",
        "environments/dev/environment.yaml": "c: dev\nd: dev\n",
        "environments/local/environment.yaml": "d: local\n",
        "environments/base/10-a/a.yaml": "x: {base: '${d}', over: base}\n",
        "environments/local/10-a/a.yaml": "x: {over: '${a} ${b} ${c} ${d}'}\n",
    }
    stack = load(repository(tmp_path, files))
    (release,) = stack.releases()
    assert release.installed
    assert merge(release, stack.environment, root=stack.root).data == {
        "x": {"base": "local", "over": "shared base dev local"}
    }


def test_a_changed_value_or_file_plans_exactly_its_users(tmp_path: Path) -> None:
    entry = "  - {{name: r{0}, namespace: ns, chart: platform/web, values: {{key: '${{key{1}}}', all: [{2}]}}}}\n"
    users = {7: "{file: files/a.txt}", 8: "{file: files/b.txt}"}
    layer = "stage: a\nreleases:\n" + "".join(entry.format(n, n % 5, users.get(n, "x")) for n in range(20))
    keys = "".join(f"key{n}: v{n}\n" for n in range(5))
    files = {
        "devtools.yaml": "references: true\n",
        "layers/10-a.yaml": layer,
        "environments/local/environment.yaml": keys,
        "environments/local/10-a/r4.yaml": "again: 'x${key3}'\n",
        "files/a.txt": "a",
        "files/b.txt": "b",
    }
    root = repository(tmp_path / "repo", files)

    def digests() -> dict[str, str]:
        cache = str(tmp_path / "cache")
        project = Project.find(root, environ={"DEVTOOLS_CACHE": cache, "DEVTOOLS_STATE": cache})
        stack = project.stack()
        request = Request(command="plan", stack=stack, selection=Selection(layers=("10-a",)))
        return {step.id.name: step.digest for step in project.plan(request, None).plan.steps}

    def changed_by(name: str, text: str) -> set[str]:
        before = digests()
        (root / name).write_text(text)
        return {name for name, digest in digests().items() if digest != before[name]}

    changed = changed_by("environments/local/environment.yaml", keys.replace("v3", "other"))
    assert changed == {"r3", "r4", "r8", "r13", "r18"}
    assert changed_by("files/a.txt", "other") == {"r7"}
    assert changed_by("environments/local/environment.yaml", keys.replace("v3", "other") + "unused: 1\n") == set()
