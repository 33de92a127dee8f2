"""Facts from lists that are long, refused or odd; the usual ones are seen by every engine test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devtools.errors import ExitCode
from devtools.kube.client import ApiError
from devtools.model import ReleaseId
from devtools.releases.facts import cut_off_revisions, newest_records, observe
from tests.kits.api_script import Say, Script, refusal, served

SECRETS = "GET /api/v1/secrets"
NAMESPACES = "GET /api/v1/namespaces"
NONE = Say(body={"items": [], "metadata": {}})


def _record(name: str, version: object, status: str, **labels: str) -> dict[str, Any]:
    more = {"owner": "helm", "name": name, "version": str(version), "status": status, **labels}
    return {"metadata": {"name": f"sh.helm.release.v1.{name}.v{version}", "namespace": "ns", "labels": more}}


def test_thousands_of_records_are_read_in_pages(tmp_path: Path) -> None:
    records = [_record(f"r{number % 200}", number // 200 + 1, "superseded") for number in range(2000)]
    records += [_record(f"r{number}", 11, "deployed") for number in range(200)]
    pages = [
        Say(body={"items": records[start : start + 500], "metadata": {"continue": f"x{start}" if start < 2000 else ""}})
        for start in range(0, 2200, 500)
    ]
    with served(Script().on(SECRETS, *pages).on(NAMESPACES, NONE), tmp_path) as kube:
        facts = observe(kube)
    assert len(facts.releases) == 200
    assert {(fact.revision, fact.status) for fact in facts.releases.values()} == {(11, "deployed")}


@pytest.mark.parametrize(
    ("statuses", "cut_off"),
    [
        (("deployed",), ()),
        (("deployed", "pending-upgrade"), ()),  # the newest is for who recovers the release
        (("deployed", "pending-upgrade", "pending-rollback"), (2,)),
        (("pending-install", "superseded", "pending-upgrade", "deployed"), (1, 3)),
        (("superseded", "failed", "uninstalling", "deployed"), ()),
    ],
)
def test_revisions_that_were_cut_off_before_the_newest(statuses: tuple[str, ...], cut_off: tuple[int, ...]) -> None:
    known = [_record("web", number, status)["metadata"] for number, status in enumerate(statuses, start=1)]
    other = _record("other", 9, "deployed")["metadata"]
    for records in ([*known, other], [other, *reversed(known)]):
        found = cut_off_revisions(records, newest_records(records))
        assert found == ({ReleaseId("ns", "web"): cut_off} if cut_off else {})


def test_a_user_without_list_secrets_learns_why_it_is_needed(tmp_path: Path) -> None:
    with served(Script().on(SECRETS, refusal(403, "Forbidden")), tmp_path) as kube, pytest.raises(ApiError) as caught:
        observe(kube)
    assert caught.value.exit_code is ExitCode.ENVIRONMENT
    assert "Helm keeps its releases in Secrets" in caught.value.hint


def test_records_that_are_not_quite_helms_do_no_harm(tmp_path: Path) -> None:
    odd = [
        _record("good", 2, "deployed"),
        _record("good", "x", "failed"),
        {"metadata": {"name": "no-labels", "namespace": "ns"}},
        {"metadata": {"name": "null", "namespace": "ns", "labels": None, "annotations": None}},
    ]
    odd[0]["metadata"]["annotations"] = {"devtools.ameide.io/objects": '[["v1", "ConfigMap"], 7]'}
    with served(Script().on(SECRETS, Say(body={"items": odd, "metadata": {}})).on(NAMESPACES, NONE), tmp_path) as kube:
        facts = observe(kube)
    good = facts.releases[ReleaseId("ns", "good")]
    assert (good.revision, good.status, good.objects) == (2, "deployed", ())


def test_objects_are_looked_for_of_those_that_it_is_about_alone(tmp_path: Path) -> None:
    records = [_record(name, 1, "deployed") for name in ("mine", "other")]
    for record, name in zip(records, ("here", "gone"), strict=True):
        inventory = json.dumps([["v1", "ConfigMap", "ns", name], ["v1", "ConfigMap", "ns", f"{name}-too"]])
        record["metadata"]["annotations"] = {"devtools.ameide.io/objects": inventory}
    kind = {"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced"}
    core = {"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": [kind]}]}
    there = [{"metadata": {"name": "here", "namespace": "ns"}}]
    script = Script().on(SECRETS, Say(body={"items": records, "metadata": {}})).on(NAMESPACES, NONE)
    script.on("GET /api", Say(body={"items": [core]})).on("GET /apis", Say(body={"items": []}))
    script.on("GET /api/v1/configmaps", Say(body={"items": there, "metadata": {}}))
    with served(script, tmp_path) as kube:
        facts = observe(kube, {ReleaseId("ns", "mine")}.__contains__)
    assert [ref.name for ref in facts.releases[ReleaseId("ns", "mine")].missing] == ["here-too"]
    assert facts.releases[ReleaseId("ns", "other")].missing == ()


def test_a_release_in_a_namespace_being_deleted_counts_as_gone(tmp_path: Path) -> None:
    listed = Say(body={"items": [_record("web", 1, "deployed")], "metadata": {}})
    leaving = Say(body={"items": [{"metadata": {"name": "ns"}}], "metadata": {}})
    with served(Script().on(SECRETS, listed).on(NAMESPACES, leaving), tmp_path) as kube:
        fact = observe(kube).releases[ReleaseId("ns", "web")]
    assert (fact.status, fact.leaving) == ("uninstalled", True)


def test_who_may_not_look_at_namespaces_does_without(tmp_path: Path) -> None:
    listed = Say(body={"items": [_record("web", 1, "deployed")], "metadata": {}})
    with served(Script().on(SECRETS, listed).on(NAMESPACES, refusal(403, "Forbidden")), tmp_path) as kube:
        assert observe(kube).releases[ReleaseId("ns", "web")].status == "deployed"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "log in to the cluster again"), (500, "invoke cluster.status")],
)
def test_other_refusals_have_hints_of_their_own(tmp_path: Path, status: int, hint: str) -> None:
    with served(Script().on(SECRETS, refusal(status, "No")), tmp_path) as kube, pytest.raises(ApiError) as caught:
        observe(kube)
    assert caught.value.exit_code is ExitCode.ENVIRONMENT
    assert hint in caught.value.hint
    assert "Secrets" not in caught.value.hint
