"""Every exported object against an API server that knows Flux's and KRO's CRDs: fields and CEL rules."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents
from devtools.errors import ExitCode
from devtools.kube.client import Kube
from devtools.model import ObjectRef
from devtools.releases.crds import CRDS
from tests.gitops.flux.conftest import Build, run
from tests.gitops.flux.test_engine import IN_PLACE
from tests.kits.shop import make_shop
from tests.platform.conftest import ALONE, is_established
from tests.platform.control_plane import control_plane
from tests.platform.support import Kubectl, Tool

DIRECTORY = os.environ.get("DEVTOOLS_CRDS", "")
pytestmark = pytest.mark.skipif(not DIRECTORY, reason="DEVTOOLS_CRDS names no directory of Flux's CRDs")


@pytest.fixture(scope="module")
def kube(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    files = [*Path(DIRECTORY).glob("flux-*.yaml"), *Path(DIRECTORY).glob("kro-*.yaml")]
    with control_plane(f"flux-{os.getpid()}", tmp_path_factory.mktemp("flux"), tool, *ALONE) as cluster:
        client = Kubectl.on(cluster, tool).kube()
        for file in files:
            for item in read_documents(file.read_bytes()):
                client.apply(f"{CRDS}/{item['metadata']['name']}", item)
        client.create("/api/v1/namespaces", {"metadata": {"name": "flux-system"}})
        deadline = time.monotonic() + 300
        while not all(map(is_established, client.items(CRDS))):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        client.discover()
        yield client


def dry_run(kube: Kube, item: dict[str, Any]) -> None:
    metadata = item["metadata"]
    ref = ObjectRef(item["apiVersion"], item["kind"], metadata.get("namespace", ""), metadata["name"])
    path = kube.path_of(ref)
    assert path, ref
    kube.validate(path.rpartition("/")[0], item)


def test_every_object_of_the_shop_is_accepted(kube: Kube, kustomize: Build, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop")
    tenant = shop / "tenants/acme/tenant.yaml"
    tenant.parent.mkdir(parents=True)
    tenant.write_text("applications: [web]\n")
    assert run(shop).code is ExitCode.OK
    assert run(shop, engine="kustomize").code is ExitCode.OK
    found: dict[str, int] = {}
    for file in sorted((shop / "gitops").rglob("flux/**/kustomization.yaml")):
        for item in kustomize(file.parent, *IN_PLACE):
            if item["kind"] == "Tenant":
                continue  # KRO makes the kind
            dry_run(kube, item)
            found[item["kind"]] = found.get(item["kind"], 0) + 1
    for environment in ("dev", "staging", "production"):
        for item in kustomize(shop / "gitops/kustomize/overlays" / environment):
            dry_run(kube, item)
    assert {"GitRepository", "HelmRelease", "HelmRepository", "Kustomization", "ResourceGraphDefinition"} <= set(found)


def test_a_release_with_chart_and_chart_ref_is_refused(kube: Kube) -> None:
    chart = {"spec": {"chart": "a", "sourceRef": {"kind": "HelmRepository", "name": "a"}}}
    item = {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "a", "namespace": "flux-system"},
        "spec": {"interval": "1m", "chart": chart, "chartRef": {"kind": "OCIRepository", "name": "a"}},
    }
    with pytest.raises(Exception, match="either chart or chartRef must be set"):
        dry_run(kube, item)
