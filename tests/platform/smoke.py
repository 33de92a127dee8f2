"""The smoke scripts on a healthy platform and on broken ones, with the rights their Jobs have and nothing more.

They are run here, by busybox sh and a kubectl that speaks as the Job's ServiceAccount: quicker than a node, and just
as able to fail. Two files do so at the same time, each with releases whose checks the other's damage does not reach.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from devtools.process.runner import Result
from tests.platform.support import BRIEF, HERE, Kubectl, load, releases, run

SMOKE = {release.name: release for release in releases("local") if release.smoke}
HEALTHY = [
    (release.name, job["name"])
    for release in SMOKE.values()
    for file in release.overlays
    for job in load(file).get("jobs", [])
]
# What the checks of these look at, the breaking of the others leaves alone, and the other way round.
OPERATED = ("secrets-smoke", "operators-smoke", "data-plane-smoke", "platform-smoke")
BROKEN = [case for file in sorted((HERE / "broken").glob("*.yaml")) for case in load(file)]
PAUSE = 0.1  # seconds between questions
OWN = ("name", "namespace", "labels", "annotations", "ownerReferences")  # what of an object's metadata is put back


def script(kubectl: Kubectl, release: str, job: str, home: Path, wait: int = 120) -> Result:
    """Run one job's script as it is on the cluster; `wait` seconds for what is not yet as it should be."""
    namespace = SMOKE[release].namespace
    data = kubectl.object(f"configmap/{release}-scripts", namespace)["data"]
    (home / "smoke").mkdir(exist_ok=True)
    for name, text in data.items():
        (home / "smoke" / name).write_text(text.replace("/smoke/prelude.sh", f"{home}/smoke/prelude.sh"))
    user = f"system:serviceaccount:{namespace}:{release}-{job}"
    wrapper = home / "kubectl"
    wrapper.write_text(
        f"#!/bin/sh\nexec {kubectl.binary} --kubeconfig {kubectl.kubeconfig} --context {kubectl.context}"
        f' --namespace {namespace} --as {user} --as-group system:authenticated "$@"\n'
    )
    wrapper.chmod(0o755)
    env = {
        "PATH": f"{home}:/usr/bin:/bin",
        "HOME": str(home),
        **kubectl.env,
        **BRIEF,
        "TEST_NAMESPACE": namespace,
        "TEST_WAIT": str(wait),
        "TEST_OPTIONAL": "true",
    }
    busybox = shutil.which("busybox")
    return run([*([busybox, "sh"] if busybox else ["sh"]), home / "smoke" / f"{job}.sh"], env=env)


def settled(kubectl: Kubectl, question: dict[str, Any], namespace: str = "ameide") -> None:
    deadline = time.monotonic() + 120
    get, *words, flag, path = question["ask"]
    assert (get, flag, path.startswith("jsonpath=")) == ("get", "-o", True), question
    template = path.removeprefix("jsonpath=")
    while (observed := kubectl.look(*words, template=template, namespace=namespace)) != question["answer"]:
        assert time.monotonic() < deadline, f"{question['ask']} is {observed!r}"
        time.sleep(PAUSE)


def change(kubectl: Kubectl, words: list[str], namespace: str, stdin: str | None = None) -> None:
    """What kubectl with these words does; labels and merge patches without a process each."""
    if words[0] == "label":
        pairs = [word.partition("=") for word in words[2:]]
        labels = {key if equals else key.removesuffix("-"): value if equals else None for key, equals, value in pairs}
        patch: dict[str, Any] = {"metadata": {"labels": labels}}
    elif words[0] == "patch" and words[2:4] == ["--type=merge", "-p"] and len(words) == 5:
        patch = json.loads(words[4])
    else:
        kubectl("-n", namespace, *words, stdin=stdin)
        return
    kind, _, name = words[1].partition("/")
    resource = kubectl.served(kind)
    assert resource, words
    kubectl.kube().merge(resource.path(namespace, name), patch)


@contextmanager
def broken(kubectl: Kubectl, case: dict[str, Any]) -> Iterator[None]:
    """The platform with one thing wrong, put right afterwards."""
    namespace = case.get("namespace") or SMOKE[case["release"]].namespace
    retained = [kubectl.object(name, namespace) for name in case.get("keep", [])]
    stdin = yaml.safe_dump(case["stdin"]) if "stdin" in case else None
    try:
        for words in case["break"]:
            change(kubectl, words, namespace, stdin)
        if "until" in case:
            settled(kubectl, case["until"], namespace)
        yield
    finally:
        for words in case.get("mend", []):
            change(kubectl, words, namespace)
        for item in retained:
            item["metadata"] = {key: item["metadata"][key] for key in OWN if key in item["metadata"]}
            item.pop("status", None)
            kubectl.put(item, namespace)
        if "mended" in case:
            settled(kubectl, case["mended"], namespace)


def wait_until_healthy(kubectl: Kubectl) -> None:
    """Until what takes longest is as it should be."""
    for ask, answer in (
        (["get", "clickhouseinstallation/clickhouse", "-o", "jsonpath={.status.status}"], "Completed"),
        (["get", "kafka/kafka", "-o", "jsonpath={.status.conditions[0].type}"], "Ready"),
        (["get", "deployment/pgadmin", "-o", "jsonpath={.status.availableReplicas}"], "1"),
        (["get", "statefulset/rfr-redis", "-o", "jsonpath={.status.readyReplicas}"], "1"),
        (["get", "deployment/rfs-redis", "-o", "jsonpath={.status.availableReplicas}"], "1"),
        (["get", "kafkatopic/platform-events", "-o", "jsonpath={.status.conditions[0].status}"], "True"),
    ):
        settled(kubectl, {"ask": ask, "answer": answer})


def check_healthy(kubectl: Kubectl, release: str, job: str, home: Path) -> None:
    """The job's script says that it passed, and asked for nothing that it may not see."""
    result = script(kubectl, release, job, home)
    assert result.ok, result.stdout + result.stderr
    assert "result: passed" in result.stdout, result.stdout
    assert "forbidden" not in result.stdout + result.stderr


def check_broken(kubectl: Kubectl, case: dict[str, Any], home: Path) -> None:
    """The job's script says what is wrong."""
    with broken(kubectl, case):
        result = script(kubectl, case["release"], case["job"], home, wait=0)  # it was waited for until it is wrong
    assert result.returncode == 1, result.stdout + result.stderr
    assert case["log"] in result.stdout + result.stderr
    assert "result: failed" in result.stdout
