"""Who manages which fields, and items that others put in the place of declared ones."""

from __future__ import annotations

from typing import Any

from devtools.diff.difference import ABSENT
from devtools.diff.managed_fields import handed_over, owns
from devtools.diff.replaced_items import replaced

HTTP, TCP = "http", "TCP"
OURS = {"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": {"f:type": {}}}}
THEIRS = {
    "manager": "kubectl-edit",
    "operation": "Update",
    "fieldsV1": {"f:spec": {"f:ports": {'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}}}},
}
STATUS = {"manager": "controller", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}
PORT = (("port", 81), ("protocol", TCP))


def service(*managers: dict[str, Any], ports: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metadata": {"name": "web", "managedFields": list(managers)}, "spec": {"type": "ClusterIP", "ports": ports}}


LIVE = service(OURS, THEIRS, STATUS, ports=[{"name": HTTP, "port": 81, "protocol": TCP}])


def test_an_item_in_the_place_of_a_declared_one_is_found() -> None:
    declared = {"metadata": {"name": "web"}, "spec": {"type": "ClusterIP", "ports": [{"name": HTTP, "port": 80}]}}
    found = replaced(LIVE, declared, "helm")
    assert found
    assert [(change.path, change.live) for change in found.lost] == [(".spec.ports[port=80]", ABSENT)]
    (foreign,) = found.foreign
    assert (foreign.path, foreign.manager) == ('.spec.ports[port=81,protocol="TCP"]', "kubectl-edit")
    assert found.rest == {"metadata": {"name": "web"}, "spec": {"type": "ClusterIP", "ports": []}}


def test_declared_defaulted_and_own_fields_replace_nothing() -> None:
    spec: dict[str, Any] = {"ports": [{"name": HTTP, "port": 81}]}  # the protocol is a default
    assert replaced(LIVE, {"spec": spec}, "helm") is None
    two = [*LIVE["spec"]["ports"], {"name": "more", "port": 82, "protocol": TCP}]
    assert replaced(service(OURS, THEIRS, ports=two), {"spec": spec}, "helm") is None
    of_another_revision = {**THEIRS, "manager": "helm", "operation": "Apply"}
    live = service(of_another_revision, ports=LIVE["spec"]["ports"])
    assert replaced(live, {"spec": {"ports": [{"name": HTTP, "port": 80}]}}, "helm") is None
    assert replaced({"spec": {"ports": []}}, {"spec": spec}, "helm") is None
    assert replaced({"spec": {}}, {"spec": spec}, "helm") is None


def test_fields_are_handed_over_whole_and_leave_no_empty_parent() -> None:
    found = handed_over(LIVE, [("spec", "ports", PORT)], "helm")
    assert [entry["manager"] for entry in found] == ["helm", "controller"]  # nothing else was the editor's
    assert found[0]["fieldsV1"] == {"f:spec": {"f:type": {}, **THEIRS["fieldsV1"]["f:spec"]}}  # type: ignore[index]
    assert owns(found[0], ("spec", "ports", PORT, "name"))
    assert LIVE["metadata"]["managedFields"][1] is THEIRS  # nothing was changed in place
    assert handed_over(LIVE, [("spec", "ports", (("port", 9),))], "helm") == [OURS, THEIRS, STATUS]


def test_nothing_is_handed_over_to_who_applied_nothing() -> None:
    update = {**OURS, "operation": "Update"}
    assert handed_over(service(update, THEIRS, ports=[]), [("spec", "ports", PORT)], "helm") == []
