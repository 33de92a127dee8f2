"""Whole runs as a user types them, on the embedded cluster."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import GRACE, Cancel
from tests.kits.repository import CONFIG_MAP, Repo
from tests.kits.waiting import eventually
from tests.kube.test_client import Door, _through

pytestmark = pytest.mark.cluster


def test_up_then_up_again(repo: Repo) -> None:
    first = repo.invoke("up", "--output", "json")
    assert first.code == 0, first.text
    document = first.document
    assert [item["outcome"] for item in document["releases"]] == ["installed", "installed"]
    assert [(item["test"], item["verdict"]) for item in document["tests"]] == [("smoke-conf", _verdict(repo))]
    assert [item["verdict"] for item in document["contracts"]] == ["passed"]
    again = repo.invoke("up", "--output", "json").document
    assert [item["outcome"] for item in again["releases"]] == ["unchanged", "unchanged"]
    directory = Path(document["directory"])
    assert json.loads((directory / "summary.json").read_text()) == document
    assert (directory / f"{repo.namespace}_conf.log").exists()
    events = [json.loads(line)["event"] for line in (directory / "events.jsonl").read_text().splitlines()]
    assert (events[0], events[-1]) == ("run-started", "run-finished")


def _verdict(repo: Repo) -> str:
    """What a test that succeeded is called here."""
    return "passed" if repo.app.provider.find().real_node else "simulated"


def test_an_undeclared_release_is_named_with_what_removes_it(repo: Repo) -> None:
    more = "  - {name: extra, chart: platform/conf, values: {say: more}}\n"
    path = repo.path / "layers/10-base.yaml"
    whole = path.read_text()
    path.write_text(whole + more)
    assert repo.invoke("layer", "10").code == 0
    path.write_text(whole)
    printed = (
        f"{repo.namespace}/extra is on the cluster, but no longer declared; to uninstall: invoke down --undeclared"
    )
    for words in (("layer", "10", "--no-test"), ("up", "--no-test", "--dry-run"), ("plan",)):
        typed = repo.invoke(*words)
        assert typed.code == 0, typed.text
        assert printed in " ".join(typed.err.split()), typed.text
    assert "longer declared" not in repo.invoke("layer", "60", "--dry-run").err
    document = repo.invoke("down", "--undeclared", "--output", "json").document
    assert [(item["release"], item["outcome"]) for item in document["releases"]] == [
        (f"{repo.namespace}/extra", "uninstalled")
    ]
    assert "longer declared" not in repo.invoke("plan").err


def test_what_was_typed_is_what_is_offered_again(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "equals: hello", "equals: bye, timeout: 1s")
    typed = repo.invoke("layer", "10", "--no-test", "--force", "--no-wait", "--verbose")
    assert typed.code != 0
    assert "Retry:  invoke layer 10-base --no-test --force --no-wait\n" in typed.out
    document = repo.invoke("layer", "10", "--only-test", "--output", "json").document
    assert document["next"] == ["invoke layer 10-base --only-test", "invoke layer 10-base"]
    document = repo.invoke("up", "--release", "conf", "--retest", "--output", "json").document
    assert document["next"] == ["invoke layer 10-base", "invoke up --release conf --retest"]


def test_a_change_is_an_upgrade_and_a_removal_goes_with_down(repo: Repo, cluster: Cluster) -> None:
    repo.invoke("up")
    repo.edit("layers/10-base.yaml", "say: hello", "say: world")
    repo.edit("layers/10-base.yaml", "equals: hello", "equals: world")
    document = repo.invoke("layer", "base", "--output", "json").document
    assert [(item["outcome"], item["reason"]) for item in document["releases"]] == [("upgraded", "inputs changed")]
    down = repo.invoke("down", "--output", "json").document
    assert [item["release"].partition("/")[2] for item in down["releases"]] == ["smoke", "conf", repo.namespace]
    assert down["counts"]["releases"]["uninstalled"] == 2
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    assert kube.get(f"/api/v1/namespaces/{repo.namespace}") is None


def test_down_of_a_part_refuses_while_dependents_are_there(repo: Repo) -> None:
    user = "  - {name: user, namespace: NS, chart: platform/conf, values: {say: hi}, needs: [NS/conf]}\n"
    repo.write("layers/20-user.yaml", f"stage: base\nreleases:\n{user}".replace("NS", repo.namespace))
    assert repo.invoke("up", "--no-test").code == 0
    refused = repo.invoke("down", "10")
    assert refused.code == 2, refused.text
    assert f"{repo.namespace}/user still needs what would be uninstalled" in refused.text
    assert "invoke down 10 --with-dependents" in refused.text
    assert repo.invoke("down", "--release", "user", "--crds").code == 2
    assert repo.invoke("down", "--release", "user", "--undeclared").code == 2
    document = repo.invoke("down", "10", "--with-dependents", "--output", "json").document
    assert [(item["release"], item["outcome"], item["reason"]) for item in document["releases"]] == [
        (f"{repo.namespace}/user", "uninstalled", "needs a release that is uninstalled"),
        (f"{repo.namespace}/conf", "uninstalled", "asked for"),
    ]
    document = repo.invoke("down", "-l", "name=smoke", "--output", "json").document
    assert [item["release"] for item in document["releases"]] == [f"{repo.namespace}/smoke"]


def test_a_sync_that_is_undone_is_planned_again(repo: Repo) -> None:
    after = "after: [{run: [sh, -c, 'test ! -e broken']}]"
    repo.edit("layers/10-base.yaml", "    contract:", f"    {after}\n    on_failure: rollback\n    contract:")
    assert repo.invoke("layer", "10").code == 0
    repo.write("broken", "")
    for old, new in (("say: hello", "say: world"), ("equals: hello", "equals: world")):
        repo.edit("layers/10-base.yaml", old, new)
    failed = repo.invoke("layer", "10", "--output", "json")
    (release,) = failed.document["releases"]
    assert (failed.code, release["outcome"], release["on_failure"]) == (1, "failed", "rollback")
    assert release["reason"] == "hook sh ended with 1; rolled back to revision 1"

    def planned() -> tuple[str, str]:
        (found,) = repo.invoke("plan", "10", "--output", "json").document["releases"]
        return found["action"], found["planned"]

    assert planned() == ("upgrade", "rolled back to revision 1: up applies the declared version again")
    for old, new in (("say: world", "say: hello"), ("equals: world", "equals: hello")):
        repo.edit("layers/10-base.yaml", old, new)
    assert planned() == ("unchanged", "inputs unchanged, objects present")


def test_a_release_is_rolled_back_and_the_next_plan_says_so(repo: Repo, cluster: Cluster) -> None:
    repo.edit(
        "layers/10-base.yaml",
        '    contract:\n      - {kind: ConfigMap, name: conf, jsonpath: "{.data.say}", equals: hello}\n',
        "",
    )
    assert repo.invoke("layer", "10").code == 0
    assert repo.invoke("rollback", "conf").code == 2
    repo.edit("layers/10-base.yaml", "say: hello", "say: world")
    assert repo.invoke("layer", "10").code == 0
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    path = f"/api/v1/namespaces/{repo.namespace}/configmaps/conf"
    assert repo.invoke("rollback", "conf", "--dry-run").code == 0
    assert (kube.get(path) or {})["data"] == {"say": "world"}
    refused = repo.invoke("rollback", "conf", "7")
    assert refused.code == 2, refused.text
    assert "has no revision '7'" in refused.text
    assert "hint: Helm keeps revisions 1, 2" in refused.text
    typed = repo.invoke("rollback", "conf", "1", "--output", "json")
    assert typed.code == 0, typed.text
    assert (typed.document["from"], typed.document["to"]) == (2, 1)
    assert (kube.get(path) or {})["data"] == {"say": "hello"}
    found = repo.invoke("history", "conf", "--output", "json").document["revisions"]
    assert [(item["revision"], item["status"]) for item in found] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert "Rollback to 1" in repo.invoke("history", "conf").out
    planned = repo.invoke("plan", "10", "--output", "json").document["releases"]
    reasons = {item["release"]: item["planned"] for item in planned}
    back = "rolled back to revision 1: up applies the declared version again"
    assert reasons[f"{repo.namespace}/conf"] == back
    assert repo.invoke("layer", "10").code == 0
    assert (kube.get(path) or {})["data"] == {"say": "world"}


WRONG: dict[str, tuple[tuple[str, str], str]] = {
    "typo": (("kubectl get configmap/conf", "kubetcl get configmap/conf"), "kubetcl: not found"),
    "missing RBAC": (("verbs: [get]", "verbs: [list]"), "is forbidden"),
    "wrong name": (("configmap/conf", "configmap/cnof"), 'configmaps "cnof" not found'),
}


@pytest.mark.real
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_smoke_script_fails_with_its_log_on_the_screen(repo: Repo, cluster: Cluster, case: str) -> None:
    (old, new), says = WRONG[case]
    repo.edit("layers/60-tests.yaml", old, new)
    typed = repo.invoke("up")
    assert typed.code == 1, typed.text
    assert says in typed.out, typed.text
    assert "FAILED" in typed.out
    assert "invoke layer 60-tests" in typed.out
    pods = Kube(cluster.kubeconfig, cluster.context, Cancel()).items(
        f"/api/v1/namespaces/{repo.namespace}/pods", labelSelector="job-name=smoke-conf"
    )
    assert len(pods) == 1  # kept for kubectl logs and describe
    repo.edit("layers/60-tests.yaml", new, old)
    assert repo.invoke("layer", "60").code == 0


SLOW = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: slow
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{name: slow, image: example.invalid/slow:1}]
"""


def with_mark(mark: str) -> list[int]:
    """Processes that have the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sync_leaves_no_process_and_can_be_rerun(
    repo: Repo, cluster: Cluster, number: signal.Signals
) -> None:
    repo.chart("conf", CONFIG_MAP, SLOW)
    mark = f"DEVTOOLS_MARK={repo.namespace}"
    child = repo.start("layer", "10", env={"DEVTOOLS_MARK": repo.namespace})
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    eventually(lambda: kube.get(f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow"))
    assert len(with_mark(mark)) >= 2  # invoke and helm
    asked = time.monotonic()
    os.kill(child.pid, number)
    out, err = child.communicate(timeout=120)
    was_killed = time.monotonic() - asked >= sum(GRACE)  # helm did not come to an end in time
    assert child.returncode == 130, out + err
    assert "Traceback" not in err
    assert with_mark(mark) == []
    records = kube.metadata(f"/api/v1/namespaces/{repo.namespace}/secrets", labelSelector="owner=helm")
    assert was_killed or not [item for item in records if item["labels"]["status"].startswith("pending")]
    (repo.path / "charts/platform/conf/templates/1.yaml").unlink()
    assert repo.invoke("layer", "10").code == 0


def _door_context(repo: Repo, cluster: Cluster, door: Door, tmp_path: Path) -> dict[str, str]:
    """The run's cluster as an allowed context behind the door."""
    _through(door, cluster, tmp_path, retry_for=0)
    settings = f"name: {repo.namespace}\ncluster: {{provider: context, context: {cluster.context}}}\n"
    repo.write("devtools.yaml", settings + f"allowed_contexts: [{cluster.context}]\n")
    return {"KUBECONFIG": str(tmp_path / "kubeconfig"), "DEVTOOLS_PROVIDER": "context"}


def test_an_api_server_that_goes_away_in_the_middle(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    from urllib.parse import urlsplit

    from devtools.kube.kubeconfig import read_credentials

    port = urlsplit(read_credentials(cluster.kubeconfig, cluster.context).server).port
    assert port
    door = Door(port)
    env = _door_context(repo, cluster, door, tmp_path)
    repo.edit("layers/_defaults.yaml", "300s", "600s")
    repo.chart("conf", CONFIG_MAP, SLOW)
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    job = f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow"
    env |= {"DEVTOOLS_PATIENCE": "3", "DEVTOOLS_MARK": repo.namespace}
    for seconds in (2, 10, 60):  # until helm watches the Job, on a busy machine late; before, it notices by itself
        child = repo.start("layer", "10", "--yes", env=env)
        eventually(lambda child=child: kube.get(job) or child.poll() is not None)  # type: ignore[misc]
        time.sleep(seconds)
        door.shut()
        out, err = child.communicate(timeout=300)  # helm itself would wait for ten minutes
        if "(helm waited for a hook)" in " ".join(out.split()):
            break
        door.open = True
        kube.delete(job)
    assert child.returncode == 4, out + err
    assert "Traceback" not in err
    assert "trying again for 3 s" in " ".join(err.split())
    assert "(helm waited for a hook)" in " ".join(out.split())
    assert "invoke cluster.status; when the server is back, the same command continues" in " ".join(out.split())
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []
    door.open = True
    (repo.path / "charts/platform/conf/templates/1.yaml").unlink()
    del env["DEVTOOLS_PATIENCE"]
    finished = repo.invoke("layer", "10", "--yes", env=env)
    assert finished.code == 0, finished.text
    door.close()


def test_a_context_that_is_not_allowed_is_refused_first(repo: Repo, cluster: Cluster, tmp_path: Path) -> None:
    there = f"cluster: {{provider: context, context: {cluster.context}}}"
    repo.write("devtools.yaml", f"name: {repo.namespace}\n{there}\n")
    typed = repo.invoke("layer", "10", env={"DEVTOOLS_PROVIDER": "context", "KUBECONFIG": str(cluster.kubeconfig)})
    assert typed.code == 2, typed.text
    assert "may not be written to" in typed.err


def test_a_run_directory_that_cannot_be_made_is_one_clear_error(repo: Repo) -> None:
    repo.write(".devtools", "in the way")
    typed = repo.invoke("layer", "10")
    assert typed.code == 4, typed.text
    assert ".devtools" in typed.err
    (repo.path / ".devtools").unlink()


def test_jsonl_is_events_and_nothing_else(repo: Repo) -> None:
    typed = repo.invoke("layer", "10", "--output", "jsonl")
    events: list[dict[str, Any]] = [json.loads(line) for line in typed.out.splitlines()]
    assert all(event["v"] == 1 for event in events)
    assert (events[0]["event"], events[-1]["event"], events[-1]["exit_code"]) == ("run-started", "run-finished", 0)


def test_a_second_run_that_may_not_wait_is_refused_by_name(repo: Repo, cluster: Cluster) -> None:
    repo.chart("conf", CONFIG_MAP, SLOW)
    child = repo.start("layer", "10")
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    eventually(lambda: kube.get(f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow"))
    typed = repo.invoke("layer", "10", "--no-wait")
    looking = [repo.invoke("plan", "--output", "json"), repo.invoke("drift")]
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=120)
    assert typed.code == 4, typed.text
    assert f"(pid {child.pid}, since " in typed.err
    reported = "another run is in progress, so this output may soon be out of date: invoke layer 10-base by "
    assert [notice["message"].startswith(reported) for notice in looking[0].document["notices"]] == [True]
    assert reported in looking[1].err
    assert repo.invoke("plan", "--output", "json").document["notices"] == []
