"""`kill -9` at random moments, to the engine or to a helm of it, again and again; then one run puts everything right.

Five times in each run of the tests, fifty with DEVTOOLS_NIGHTLY=1. DEVTOOLS_SEED repeats a sequence of kills: it is
printed where the test fails.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from devtools.releases.facts import observe
from tests.e2e.test_runs import with_mark
from tests.faults.conftest import NIGHTLY
from tests.kits.repository import Repo

pytestmark = pytest.mark.cluster
TIMES = 50 if NIGHTLY else 5
NAMES = ("one", "two", "three", "four", "five")
LAYER = """\
stage: base
releases:
  - {name: one, chart: platform/app, values: {say: "ROUND"}}
  - {name: two, chart: platform/app, values: {say: "ROUND"}}
  - {name: three, chart: platform/app, values: {say: "ROUND"}, needs: [NS/one]}
  - {name: four, chart: platform/app, values: {say: "ROUND"}, needs: [NS/one, NS/two]}
  - {name: five, chart: platform/app, values: {say: "ROUND"}, needs: [NS/four]}
"""
APP = """\
{{- range until 10 }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ $.Release.Name }}-{{ . }}"}
data: {say: {{ $.Values.say | quote }}}
{{- end }}
"""


def _declare(repo: Repo, number: int) -> None:
    """Every round declares something else, so that there is work in each."""
    repo.write("layers/10-base.yaml", LAYER.replace("NS", repo.namespace).replace("ROUND", f"round {number}"))


def _a_helm(engine: int) -> psutil.Process | None:
    """A helm of the engine, if there is one at this moment: whichever thread of it began it."""
    with contextlib.suppress(OSError, psutil.Error):
        for children in Path(f"/proc/{engine}/task").glob("*/children"):
            for pid in map(int, children.read_text().split()):
                process = psutil.Process(pid)
                if process.name() == "helm":
                    return process
    return None


def _kill_engine(child: subprocess.Popen[str], after: float) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(after)
    child.send_signal(signal.SIGKILL)
    return f"engine after {after:.2f} s"


def _kill_helm(child: subprocess.Popen[str], after: float) -> str:
    """A helm that is found after a while, or the next one that begins."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(after)
    while child.poll() is None:
        if helm := _a_helm(child.pid):
            with contextlib.suppress(psutil.Error):
                helm.kill()
                return f"helm after {after:.2f} s"
        time.sleep(0.002)
    return f"nothing after {after:.2f} s"


def test_after_any_number_of_kills_one_run_puts_everything_right(repo: Repo, cluster: Cluster) -> None:
    seed = int(os.environ.get("DEVTOOLS_SEED") or secrets.randbits(32))
    dice, kube, killed = random.Random(seed), Kube(cluster.kubeconfig, cluster.context, Cancel()), list[str]()
    state = repo.apart()
    repo.chart("app", APP)
    mark = f"DEVTOOLS_MARK={repo.namespace}"
    _declare(repo, 0)
    started = time.monotonic()
    assert repo.invoke("layer", "10").code == 0
    whole = time.monotonic() - started
    for number in range(1, TIMES + 1):
        _declare(repo, number)
        child = repo.start("layer", "10", env={"DEVTOOLS_MARK": repo.namespace})
        after = dice.uniform(0, whole)
        killed.append(
            _kill_engine(child, after) if dice.random() < 0.5 else _kill_helm(child, dice.uniform(0, whole / 2))
        )
        out, err = child.communicate(timeout=300)
        assert "Traceback" not in out + err, (seed, killed, err)
    last = repo.invoke("layer", "10")
    assert last.code == 0, (seed, killed, last.text)
    reported = f"seed {seed}: {killed}"
    print(reported)  # noqa: T201 - pytest shows it with -s and -rP
    assert with_mark(mark) == [], reported
    _is_right(repo, kube, f"round {TIMES}", reported)
    again = repo.invoke("layer", "10", "--output", "json").document
    assert {item["outcome"] for item in again["releases"]} == {"unchanged"}, reported
    assert list((state / "marks").glob("*-*.lock")) == [], reported


def _is_right(repo: Repo, kube: Kube, messages: str, reported: str) -> None:
    """Each release once, deployed, with what was declared last; nothing pending, lost or doubled."""
    namespace = f"/api/v1/namespaces/{repo.namespace}"
    records = [item["labels"] for item in kube.metadata(f"{namespace}/secrets", labelSelector="owner=helm")]
    assert not [item for item in records if item["status"].startswith(("pending", "uninstalling"))], reported
    assert sorted(item["name"] for item in records if item["status"] == "deployed") == sorted(NAMES), reported
    mine = {key.name: fact for key, fact in observe(kube).releases.items() if key.namespace == repo.namespace}
    assert {name: (fact.status, fact.missing) for name, fact in mine.items()} == dict.fromkeys(NAMES, ("deployed", ()))
    maps = {item["metadata"]["name"]: item.get("data") for item in kube.items(f"{namespace}/configmaps")}
    maps.pop("kube-root-ca.crt", None)
    assert maps == {f"{name}-{number}": {"say": messages} for name in NAMES for number in range(10)}, reported
