"""What can be wrong before anything is touched: one clear error each, and its exit code."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.app.exit_codes import Verb
from devtools.app.options import Options
from devtools.commands import runs
from tests.kits.repository import Repo
from tests.kits.verbs import call

Break = Callable[[Repo], None]
DRY = Options(dry_run=True, output="json")
READERS: tuple[Verb, ...] = (
    lambda app: runs.plan(app, "", DRY),
    lambda app: runs.up(app, DRY),
    lambda app: runs.layer(app, "10", DRY),
    lambda app: runs.down(app, DRY),
)


def _typo(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "chart:", "chrat:")


def _not_yaml(repo: Repo) -> None:
    repo.write("environments/local/10-base/conf.yaml", "say: [hello\n")


def _missing_chart(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "platform/conf", "platform/cnof")


def _cycle(repo: Repo) -> None:
    more = "    needs: [{0}/other]\n  - name: other\n    chart: platform/conf\n    needs: [{0}/conf]\n"
    repo.edit("layers/10-base.yaml", "    values:", more.format(repo.namespace) + "    values:")


def _unknown_need(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "    values:", f"    needs: [{repo.namespace}/cofn]\n    values:")


def _disabled_need(repo: Repo) -> None:
    more = "    needs: [{0}/other]\n    values: {{}}\n  - name: other\n    chart: platform/conf\n    installed: false\n"
    repo.edit("layers/10-base.yaml", "    values:", more.format(repo.namespace) + "    values:")


def _corrupted_archive(repo: Repo) -> None:
    folder = repo.path / "charts/third_party/acme/tool"
    folder.mkdir(parents=True)
    (folder / "tool-1.0.0.tgz").write_bytes(gzip.compress(b"not what was vendored"))
    digest = hashlib.sha256(b"what was vendored").hexdigest()
    entry = {
        "publisher": "acme",
        "name": "tool",
        "version": "1.0.0",
        "repository": "https://charts.example.com",
        "sha256": digest,
        "license": "MIT",
    }
    repo.write("charts/third_party/lock.yaml", json.dumps({"charts": [entry]}))
    repo.edit("layers/10-base.yaml", "platform/conf", "acme/tool")


def _pipe(repo: Repo) -> None:
    os.mkfifo(repo.path / "charts/platform/conf/.helmignore")


def _no_lock(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "platform/conf", "acme/tool")


@pytest.mark.parametrize(
    ("damage", "where", "says"),
    [
        (_typo, "layers/10-base.yaml:4:5: ", "unknown key 'chrat' (did you mean 'chart'?)"),
        (_not_yaml, "environments/local/10-base/conf.yaml:", "expected ',' or ']'"),
        (_missing_chart, "layers/10-base.yaml:4:5: ", "no chart 'platform/cnof' (did you mean 'platform/conf'?)"),
        (_cycle, "layers/10-base.yaml:", "/conf needs "),
        (_unknown_need, "layers/10-base.yaml:5:13: ", "(did you mean "),
        (_disabled_need, "layers/10-base.yaml:5:13: ", "installed"),
        (_pipe, "charts/platform/conf/.helmignore:1:1: ", "is a pipe"),
        (
            _no_lock,
            "charts/third_party/lock.yaml:1:1: ",
            "is missing; needed by 'acme/tool' at layers/10-base.yaml:4:5",
        ),
        (_corrupted_archive, "charts/third_party/lock.yaml:1:", "sha256"),
    ],
)
def test_what_is_declared_wrongly_is_named_at_its_place(offline: Repo, damage: Break, where: str, says: str) -> None:
    damage(offline)
    typed = offline.invoke("layer", "10", "--dry-run")
    assert typed.code == 2, typed.text
    assert where in typed.err
    assert says in typed.err
    assert typed.out == ""
    assert not (offline.path / ".devtools").exists()


@pytest.mark.parametrize("name", ["layers", "environments", "environments/local", "charts/platform"])
def test_a_directory_that_may_not_be_read_is_named(offline: Repo, name: str) -> None:
    """Root may read everything, but for one that gave up the right to."""
    over = "--bounding-set=-dac_override,-dac_read_search"
    failed_releases = [] if os.geteuid() else ["setpriv", over, over.replace("bounding-set", "inh-caps")]
    (offline.path / name).chmod(0)
    try:
        argv = [*failed_releases, str(Path(sys.executable).parent / "invoke"), "values", "conf"]
        typed = subprocess.run(argv, cwd=offline.path, env=offline.environ, capture_output=True, text=True, check=False)
    finally:
        (offline.path / name).chmod(0o755)
    assert typed.returncode == 4, typed.stdout + typed.stderr
    assert typed.stderr.startswith(f"error: cannot use {offline.path / name}")
    assert typed.stderr.endswith(": Permission denied\n  hint: check its owner and mode\n")


def test_all_errors_of_all_files_come_at_once(offline: Repo) -> None:
    _typo(offline)
    _not_yaml(offline)
    offline.edit("layers/60-tests.yaml", "smoke: true", "smoke: maybe")
    typed = offline.invoke("layer", "10", "--output", "json")
    assert typed.code == typed.document["exit_code"] == 2
    assert {problem["file"] for problem in typed.document["problems"]} == {
        "environments/local/10-base/conf.yaml",
        "layers/10-base.yaml",
        "layers/60-tests.yaml",
    }


def test_an_unknown_layer_or_environment_lists_near_matches(offline: Repo) -> None:
    typed = offline.invoke("layer", "10-bsae")
    assert (typed.code, "did you mean '10-base'?" in typed.err) == (2, True), typed.err
    typed = offline.invoke("layer", "10", "--env", "lcoal")
    assert (typed.code, "did you mean 'local'?" in typed.err) == (2, True), typed.err


@pytest.mark.parametrize(
    ("line", "layers"),
    [
        ("layers 10 --output json", [["10-base"]]),
        ("layers --output json --name 10", [["10-base"]]),
        ("layers base --output json layers 20 --output json", [["10-base"], ["20-more"]]),
        ("layers --output json", [["10-base", "20-more", "60-tests"]]),
    ],
)
def test_a_layer_may_follow_its_task_without_a_flag(offline: Repo, line: str, layers: list[list[str]]) -> None:
    offline.write("layers/20-more.yaml", "stage: base\nreleases: []\n")
    typed = offline.invoke(*line.split())
    assert typed.code == 0, typed.text
    found, decoder, rest = [], json.JSONDecoder(), typed.out.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append([layer["layer"] for layer in document["layers"]])
        rest = rest[end:].strip()
    assert found == layers


@pytest.mark.parametrize("line", ["layers plan", "layers cluster.status", "plan layers"])
def test_the_next_task_is_no_layer(offline: Repo, line: str) -> None:
    assert "unknown layer" not in offline.invoke(*line.split()).text


@pytest.mark.parametrize("task", ["layers", "plan", "drift"])
def test_an_unknown_layer_is_refused_in_every_form(offline: Repo, task: str) -> None:
    for words in (("nope",), ("--name", "nope")):
        typed = offline.invoke(task, *words)
        assert (typed.code, "unknown layer 'nope'" in typed.err) == (2, True), typed.text


def test_outside_a_repository_it_says_so(offline: Repo, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tasks.py").write_text("from devtools.tasks import namespace\n")
    typed = Repo(path=elsewhere, namespace="x", app=offline.app).invoke("layers")
    assert (typed.code, "no stack here" in typed.err) == (2, True), typed.err


def test_a_layer_and_a_selector_combine_and_hints_can_be_typed(offline: Repo) -> None:
    nowhere = {"DEVTOOLS_CLUSTER": "nothing-here"}
    planned = offline.invoke("plan", "--name", "60", "--release", "smoke", "--output", "json", env=nowhere).document
    assert [item["release"] for item in planned["releases"]] == [f"{offline.namespace}/smoke"]
    assert planned["next"] == ["invoke layer 60-tests --release smoke"]
    again = offline.invoke("plan", *planned["next"][0].split()[2:], "--output", "json", env=nowhere).document
    assert again["releases"] == planned["releases"]
    for task in ("plan", "drift", "layers"):
        neither = offline.invoke(task, "--name", "10", "--release", "smoke", env=nowhere)
        assert (neither.code, "no release matches all of these selectors" in neither.err) == (2, True), neither.text
    assert "smoke" not in offline.invoke("layers", "--name", "10", env=nowhere).out


def test_without_a_cluster_it_says_how_to_get_one(offline: Repo) -> None:
    typed = offline.invoke("layer", "10", env={"DEVTOOLS_CLUSTER": "nothing-here"})
    assert typed.code == 4
    assert "invoke cluster.create" in typed.err
    assert not (offline.path / ".devtools").exists()


def test_a_plan_needs_no_cluster(offline: Repo) -> None:
    typed = offline.invoke("plan", "--output", "json", env={"DEVTOOLS_CLUSTER": "nothing-here"})
    assert typed.code == 0
    assert [item["action"] for item in typed.document["releases"]] == ["install", "install"]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (
            (
                '{"format": 2, "api_port": 1, "kubelet_port": 2, "link": 0, "joinable": false, '
                '"nodes": 2, "simulation": ""}'
            ),
            "cluster quiet is stopped",
        ),
        ('{"link": 0, "joinable": false, "nodes": 2, "simulation": ""}', "was created by another version of devtools"),
        ("{", "ready.json is damaged"),
        ("", "creation of cluster quiet was interrupted"),
    ],
    ids=["stopped", "older", "broken", "half-made"],
)
def test_an_unreachable_cluster_is_not_planned_for_as_empty(
    offline: Repo, tmp_path: Path, record: str, says: str
) -> None:
    home = tmp_path / "state/clusters/quiet"
    home.mkdir(parents=True)
    if record:
        (home / "ready.json").write_text(record)
    env = {"DEVTOOLS_CLUSTER": "quiet", "DEVTOOLS_STATE": str(tmp_path / "state")}
    for verb in READERS:
        observed = call(verb, "json", environ={**offline.environ, **env}, cwd=offline.path)
        assert (observed.code, observed.document["exit_code"]) == (4, 4), observed
        assert says in observed.err
        assert "empty cluster" not in observed.out + observed.err
    typed = offline.invoke("plan", env=env)  # and as a user types it
    assert (typed.code, says in typed.err) == (4, True), typed.text


def test_an_api_server_that_does_not_answer_is_no_empty_cluster(offline: Repo, tmp_path: Path) -> None:
    cluster = {"name": "away", "cluster": {"server": "http://127.0.0.1:1"}}
    user = {"name": "me", "user": {"token": "x"}}
    context = {"name": "away", "context": {"cluster": "away", "user": "me"}}
    kubeconfig = {"contexts": [context], "clusters": [cluster], "users": [user]}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    settings = f"name: {offline.namespace}\ncluster: {{provider: context, context: away}}\nallowed_contexts: [away]\n"
    offline.write("devtools.yaml", settings)
    env = {"DEVTOOLS_PROVIDER": "context", "KUBECONFIG": str(tmp_path / "kubeconfig")}
    typed = offline.invoke("plan", env=env)
    assert typed.code == 4, typed.text
    assert "empty cluster" not in typed.text
    (tmp_path / "kubeconfig").write_text("{}")
    typed = offline.invoke("plan", env=env)
    assert (typed.code, "planning for an empty cluster" in typed.err) == (0, True), typed.text


def test_a_missing_tool_names_the_command_that_gets_it(offline: Repo, tmp_path: Path) -> None:
    env = {"DEVTOOLS_CACHE": str(tmp_path / "empty"), "DEVTOOLS_CLUSTER": "nothing-here", "PATH": "/usr/bin:/bin"}
    typed = offline.invoke("cluster.status", env=env)
    assert typed.code == 4
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin" / "helm"
    old.write_text("#!/bin/sh\necho v3.12.0+gabc\n")
    old.chmod(0o755)
    typed = offline.invoke("toolchain", "--output", "json", env={**env, "PATH": str(tmp_path / "bin")})
    assert typed.code == 4  # no go on this PATH to build the pinned one with
    assert "go" in typed.err


def test_values_say_where_each_key_comes_from(offline: Repo) -> None:
    offline.write("environments/local/10-base/conf.yaml", "say: world\nmore: {deep: [1]}\n")
    assert offline.invoke("values", "conf").out == "say: world\nmore:\n  deep:\n  - 1\n"
    rows = offline.invoke("values", "conf", "--explain").out.splitlines()
    assert [row.split() for row in rows] == [
        ["say:", '"world"', "#", "environments/local/10-base/conf.yaml:1:1"],
        ["more.deep:", "[1]", "#", "environments/local/10-base/conf.yaml:2:8"],
    ]
    document = offline.invoke("values", "conf", "--output", "json").document
    assert document["values"] == {"say": "world", "more": {"deep": [1]}}


def test_values_are_shown_without_secrets_unless_asked_for(offline: Repo) -> None:
    text = "auth: {password: hunter22, port: 5432, existingSecret: mine}\nurl: postgres://me:hunter22@db\n"
    offline.write("environments/local/10-base/conf.yaml", text)
    hidden = offline.invoke("values", "conf", "--output", "json").document["values"]
    assert hidden["auth"] == {"password": "***", "port": 5432, "existingSecret": "mine"}
    assert hidden["url"] == "postgres://me:***@db"
    assert "hunter22" not in offline.invoke("values", "conf", "--explain").text
    assert "password: hunter22\n" in offline.invoke("values", "conf", "--show-secrets").out


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a: {{ .Values.a.b.c }}", "nil pointer evaluating interface {}.b"),
        ('{{ fail "one\\ntwo\\nthree" }}', "one two three"),
    ],
)
def test_the_reason_in_json_is_all_that_helm_says_of_a_template(repo: Repo, template: str, reason: str) -> None:
    repo.chart("conf", template)
    typed = repo.invoke("layer", "10", "--no-test", "--output", "json")
    assert typed.code == 1
    assert reason in typed.document["releases"][0]["reason"]


@pytest.mark.parametrize(
    ("template", "code", "printed"),
    [
        ("a: {{ .Values.x", 2, "unclosed action"),
        ("a: {{ nosuch . }}", 2, 'function "nosuch" not defined'),
        ("a: b: c", 2, "mapping values are not allowed"),
        ("a: {{ .Values.a.b.c }}", 0, "nil pointer evaluating interface {}.b"),  # a lookup could be behind it
    ],
)
@pytest.mark.parametrize("words", [("plan",), ("up", "--dry-run")])
def test_a_plan_says_that_a_template_cannot_be_rendered(
    repo: Repo, words: tuple[str, ...], template: str, code: int, printed: str
) -> None:
    repo.chart("conf", template)
    typed = repo.invoke(*words, "--output", "json")
    assert (typed.code, typed.document["result"]) == (code, "failed" if code else "planned")
    notice = next(item for item in typed.document["notices"] if item["release"].endswith("/conf"))
    assert notice["message"].startswith("helm cannot render chart platform/conf: ")
    assert printed in notice["message"]


def test_a_repeated_plan_imports_only_what_it_needs(offline: Repo) -> None:
    for _ in range(2):  # the second one finds the stack in its cache
        typed = offline.invoke("plan", "10", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert typed.code == 0
    imported = {line.rpartition("|")[2].strip() for line in typed.err.splitlines() if line.startswith("import time:")}
    assert "devtools.planning.plan" in imported
    unneeded = {"tarfile", "pydantic", "devtools.charts.packaged.packages"}
    assert imported & unneeded == set()


def test_drift_of_what_is_disabled_compares_nothing_and_says_so(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "    chart: platform/conf", "    chart: platform/conf\n    installed: false")
    typed = repo.invoke("drift", "--release", "conf", "--output", "json")
    assert typed.code == 2
    assert typed.document["message"].startswith(f"{repo.namespace}/conf is disabled")
    assert typed.document["message"].endswith("nothing to compare")


def test_an_unusable_state_directory_is_reported_with_a_remedy(offline: Repo) -> None:
    file = offline.write("a-file", "")
    typed = offline.invoke("cluster.create", env={"DEVTOOLS_STATE": str(file / "state"), "DEVTOOLS_PROVIDER": "kwok"})
    assert typed.code == 4
    assert "hint: set DEVTOOLS_STATE to a directory that you may write to" in typed.err
