"""`invoke gitops.preflight`: every check as data, and what a real API server that has nothing says."""

from __future__ import annotations

from typing import Any

import pytest

from devtools.gitops.preflight import Check, Found, Needs, checks
from tests.kits.repository import Repo

ARGOCD = Found(
    served={("argoproj.io/v1alpha1", kind) for kind in ("Application", "ApplicationSet", "AppProject")},
    controllers={
        f"argocd-{name}": ("v3.3.1", 1)
        for name in ("application-controller", "applicationset-controller", "repo-server")
    },
    storage_classes={"fast": False, "standard": True},
    config={"argocd-cmd-params-cm": {"applicationsetcontroller.enable.progressive.syncs": "true"}},
    secrets={"private"},
    clusters={"dev"},
)
NEEDS = Needs(
    engine="argocd",
    storage_classes={"fast"},
    volumes=True,
    config={"argocd-cmd-params-cm": {"applicationsetcontroller.enable.progressive.syncs": "true"}},
    secrets={"https://git.example.com/a.git": "private"},
    cluster="dev",
)


def changed(item: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(item, **changes)


def not_ok(needs: Needs, found: Found) -> list[Check]:
    return [check for check in checks(needs, found) if check.state != "ok"]


def test_a_cluster_that_has_everything_is_ready() -> None:
    assert not_ok(NEEDS, ARGOCD) == []
    assert len(checks(NEEDS, ARGOCD)) == 11


@pytest.mark.parametrize(
    ("needs", "found", "name", "message"),
    [
        ({}, {"served": ()}, "kind Application", "argoproj.io/v1alpha1 is not served"),
        ({}, {"controllers": {}}, "argocd-repo-server", "is not in namespace argocd"),
        ({"confirms": True}, {}, "argocd-repo-server", "runs, version v3.3.1"),
        ({}, {"config": {}}, "config map argocd-cmd-params-cm", "enable.progressive.syncs not set"),
        ({}, {"secrets": ()}, "secret private", "missing: credentials of https://git.example.com/a.git"),
        ({}, {"clusters": ()}, "cluster dev", "is not registered"),
        ({"kinds": {("cert-manager.io/v1", "Issuer")}}, {}, "kind Issuer", "cert-manager.io/v1 is not served"),
        ({"storage_classes": {"slow"}}, {}, "StorageClass slow", "is missing"),
        ({"namespaces": {"shop"}}, {}, "namespace shop", "is missing, and create_namespace is false"),
        ({}, {"storage_classes": {"fast": False}}, "StorageClass", "no StorageClass is the default"),
    ],
)
def test_what_is_missing_is_named(needs: dict[str, Any], found: dict[str, Any], name: str, message: str) -> None:
    wrong = {check.name: check for check in not_ok(changed(NEEDS, **needs), changed(ARGOCD, **found))}
    assert wrong[name].state == "missing"
    assert message in wrong[name].message
    assert wrong[name].hint


def test_a_controller_without_a_ready_pod_is_missing() -> None:
    found = changed(ARGOCD, controllers={**(ARGOCD.controllers or {}), "argocd-repo-server": ("v3.3.1", 0)})
    assert [(check.name, check.message) for check in not_ok(NEEDS, found)] == [
        ("argocd-repo-server", "has no pod that is ready")
    ]


def test_what_may_not_be_read_is_unknown() -> None:
    found = changed(ARGOCD, controllers=None, storage_classes=None, secrets=None, clusters=None, namespaces=None)
    needs = changed(NEEDS, namespaces={"shop"})
    assert {check.state for check in not_ok(needs, found)} == {"unknown"}
    assert len(not_ok(needs, found)) == 7


def test_flux_needs_its_image_controllers_only_to_update_images() -> None:
    names = [check.name for check in checks(Needs(engine="flux"), Found(controllers={}, storage_classes={}))]
    assert "image-automation-controller" not in names
    more = [
        check.name for check in checks(Needs(engine="flux", images=True), Found(controllers={}, storage_classes={}))
    ]
    assert {"image-automation-controller", "kind ImagePolicy"} <= {*more} - {*names}


@pytest.mark.parametrize("engine", ["argocd", "flux"])
def test_a_real_cluster_without_a_controller(repo: Repo, engine: str) -> None:
    repo.write(
        "devtools.yaml",
        f"name: {repo.namespace}\ngitops:\n  repository: https://git.example.com/a.git\n"
        "  environments: {dev: {cluster: {name: dev}}}\n",
    )
    repo.write("environments/dev/environment.yaml", "")
    repo.edit("layers/_defaults.yaml", "namespace: ", "create_namespace: false, namespace: missing-")
    done = repo.invoke("gitops.preflight", "--env", "dev", "--engine", engine, "--output", "json")
    document = done.document
    assert (done.code, document["kind"], document["controller"]) == (1, "gitops-preflight", engine)
    assert document["missing"] == sum(check["state"] == "missing" for check in document["checks"]) > 0
    assert all(check["hint"] for check in document["checks"] if check["state"] == "missing")
    (namespace,) = (check for check in document["checks"] if check["name"] == f"namespace missing-{repo.namespace}")
    assert namespace["state"] == "missing"


def test_an_environment_that_is_not_exported_is_refused(repo: Repo) -> None:
    repo.write("devtools.yaml", f"name: {repo.namespace}\ngitops: {{repository: https://git.example.com/a.git}}\n")
    done = repo.invoke("gitops.preflight")
    assert done.code == 2
    assert "environment 'local' is not exported" in done.err
