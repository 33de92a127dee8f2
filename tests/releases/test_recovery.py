"""Releases that killed runs leave behind: each state that Helm knows, on a real API server, ends deployed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from devtools.errors import ExitCode
from devtools.events import Notice, StepFinished, StepOutput
from devtools.model import Environment, Layer, Plan, Release, ReleaseId, Stack
from devtools.planning.plan import Selection, make_plan
from devtools.redaction import secret_values
from devtools.releases.facts import observe, record_path
from devtools.releases.recovery import Recovery, basis, records, recovery, revisions
from tests.kits.run import HERE, LAYER, Bench, config_map, plan, set_status, step


@pytest.mark.parametrize(
    ("state", "revisions", "way"),
    [
        ("pending-install", {1: "pending-install"}, Recovery(how="uninstall")),
        ("failed", {1: "failed"}, Recovery(how="uninstall")),
        ("uninstalling", {3: "uninstalling"}, Recovery(how="uninstall")),
        ("pending-upgrade", {1: "deployed", 2: "pending-upgrade"}, Recovery(how="rollback", revision=1)),
        (
            "pending-upgrade",
            {1: "superseded", 2: "deployed", 3: "failed", 4: "pending-upgrade"},
            Recovery(how="rollback", revision=2),
        ),
        (
            "pending-rollback",
            {7: "superseded", 8: "failed", 9: "pending-rollback"},
            Recovery(how="rollback", revision=7),
        ),
        ("pending-upgrade", {2: "pending-upgrade"}, Recovery(how="forget", revision=2)),
        ("pending-upgrade", {1: "failed", 2: "pending-upgrade"}, Recovery(how="forget", revision=2)),
    ],
)
def test_the_way_out_of_a_state(state: str, revisions: dict[int, str], way: Recovery) -> None:
    known = [{"labels": {"version": str(number), "status": status}} for number, status in revisions.items()]
    assert recovery(state, known) == way
    assert recovery(state, list(reversed(known))) == way


@pytest.mark.parametrize(
    ("statuses", "number"),
    [
        ((), 0),
        (("deployed",), 1),
        (("superseded", "deployed", "failed"), 2),
        (("deployed", "failed", "pending-upgrade"), 1),
        (("deployed", "superseded", "failed"), 1),
        (("superseded", "failed"), 2),
        (("failed", "failed"), 2),
        (("pending-install",), 1),
        (("superseded", "uninstalling"), 2),
        (("deployed", "uninstalled"), 0),
    ],
)
def test_the_revision_that_says_what_should_be_there(statuses: tuple[str, ...], number: int) -> None:
    labels = [{"name": "web", "version": str(i), "status": status} for i, status in enumerate(statuses, start=1)]
    known = [{"namespace": "a", "labels": one} for one in reversed(labels)]
    found = basis(revisions(known).get(ReleaseId("a", "web"), ()))
    assert (found.number if found else 0) == number
    assert found is None or found.status == statuses[number - 1]


def _made(bench: Bench, item: Release) -> Plan:
    """The plan that a user would get now."""
    layer = Layer(name=LAYER, file=HERE.file, stage="data", releases=(item,))
    stack = Stack(name="test", root=bench.root, environment=Environment(name="local"), layers=(layer,))
    return make_plan(stack, Selection(layers=(LAYER,)), observe(bench.kube), {item.id: "e" * 40})


LEFT: dict[str, tuple[list[str], bool]] = {
    # statuses of the revisions, first to last; whether what was there is still the same object afterwards
    "uninstalling": (["uninstalling"], False),
    "pending-install": (["pending-install"], False),
    "a first install that failed": (["failed"], False),
    "nothing but superseded": (["superseded", "superseded"], True),
    "an upgrade that failed": (["deployed", "failed"], True),
    "an upgrade that was killed after one that failed": (["deployed", "failed", "pending-upgrade"], True),
    "an upgrade that was killed, and the revision before is lost": (["", "pending-upgrade"], True),
    "a rollback that was killed": (["deployed", "superseded", "pending-rollback"], True),
    "a rollback that was killed, of an upgrade that was": (["deployed", "pending-upgrade", "pending-rollback"], True),
    "a rollback whose engine was killed": (["superseded", "pending-upgrade", "deployed"], True),
}


@pytest.mark.cluster
@pytest.mark.parametrize("case", LEFT)
def test_whatever_was_left_ends_deployed(bench: Bench, case: str) -> None:
    statuses, stays = LEFT[case]
    conf = bench.release(bench.chart("conf", config_map("conf", value="1")))
    for _ in statuses:
        assert bench.run(plan(step(conf))).code is ExitCode.OK
    path = f"/api/v1/namespaces/{bench.namespace}/configmaps/conf"
    before = bench.kube.get(path)
    for number, status in enumerate(statuses, start=1):
        if status:
            set_status(bench.kube, conf.id, number, status)
        else:
            bench.kube.delete(record_path(conf.id, number))
    bench.chart("conf", config_map("conf", value="2"))
    ran = bench.run(_made(bench, conf))
    assert ran.code is ExitCode.OK, ran.all(StepFinished)
    fact, after = ran.after.releases[conf.id], bench.kube.get(path)
    assert (fact.status, fact.digest, fact.ready) == ("deployed", "e" * 40, "e" * 40)
    assert before
    assert after
    assert after["data"] == {"value": "2"}
    assert (before["metadata"]["uid"] == after["metadata"]["uid"]) == stays
    left = {item["labels"]["status"] for item in records(bench.kube, conf.id)}
    assert left <= {"deployed", "superseded", "failed"}, "what was cut off is no part of its history"
    assert bench.run(_made(bench, conf)).one(StepFinished).outcome == "unchanged"


def test_secrets_are_recognised_by_their_keys() -> None:
    values: dict[str, Any] = yaml.safe_load(
        """
        auth: {password: hunter22, existingSecret: my-secret, secretName: web-tls, username: postgres}
        tokens: {ci: abcdef-token, name: short-name}
        apiKey: key-123456
        imagePullSecrets: [registry-login]
        ingress: {tls: [{secretName: web-tls}]}
        privateKey: "-----BEGIN KEY-----\\nMIIabcdef\\n-----END KEY-----"
        secrets: [{name: a-name, value: s3cr3t-1}, {name: other, value: tiny}]
        password_length: 12
        image: {repository: example.com/app, tag: "1.0"}
        """
    )
    assert secret_values(values) == (
        "hunter22",
        "abcdef-token",
        "key-123456",
        "-----BEGIN KEY-----\nMIIabcdef\n-----END KEY-----",
        "s3cr3t-1",
    )


@pytest.mark.cluster
def test_secret_values_in_helms_messages_are_hidden(bench: Bench) -> None:
    ref = bench.chart("conf", config_map("conf", say='{{ fail (printf "bad password %s" .Values.auth.password) }}'))
    conf = bench.release(ref)
    ran = bench.run(plan(step(conf)), {"conf": {"auth": {"password": "hunter2-marker", "secretName": "web-tls"}}})
    end = ran.one(StepFinished)
    assert ran.code is ExitCode.FAILED
    assert "bad password ***" in end.reason
    assert "hunter2-marker" not in str(ran.events)
    assert any("***" in event.line for event in ran.all(StepOutput))
    assert ran.all(Notice) == []


@pytest.mark.cluster
def test_a_record_without_labels_is_named_with_the_remedy(bench: Bench) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf")))
    assert bench.run(plan(step(conf))).code is ExitCode.OK
    path = record_path(conf.id, 1)
    bench.kube.merge(path, {"metadata": {"labels": {"owner": None}}})
    ran = bench.run(_made(bench, conf))
    end = ran.one(StepFinished)
    assert "Secret sh.helm.release.v1.conf.v1 lacks owner=helm" in end.reason
    assert end.hint.endswith("secret sh.helm.release.v1.conf.v1 owner=helm")
    bench.kube.merge(path, {"metadata": {"labels": {"owner": "helm"}}})
    assert bench.run(_made(bench, conf)).code is ExitCode.OK
