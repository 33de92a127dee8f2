"""A SOPS file among the values: a Secret that Flux decrypts, and never its plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.errors import ExitCode
from tests.gitops.flux.conftest import Build, objects, run
from tests.kits.shop import make_shop

# Recorded from sops 3.13.3 with an age key.
ENCRYPTED = """\
token: ENC[AES256_GCM,data:AAAA,iv:BBBB,tag:CCCC,type:str]
sops:
    age:
        - recipient: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
            -----END AGE ENCRYPTED FILE-----
    lastmodified: "2026-11-30T06:30:00Z"
    mac: ENC[AES256_GCM,data:AAAA,iv:BBBB,tag:CCCC,type:str]
    version: 3.13.3
"""


def test_an_encrypted_overlay_becomes_a_secret_with_decryption(tmp_path: Path, kustomize: Build) -> None:
    shop = make_shop(tmp_path / "shop")
    (shop / "environments/dev/40-apps/web.yaml").write_text(ENCRYPTED)
    assert run(shop).code is ExitCode.OK
    (layer,) = [
        item
        for item in objects(shop / "gitops/flux/dev", "Kustomization")
        if item["metadata"]["name"] == "shop-40-apps"
    ]
    assert layer["spec"]["decryption"] == {"provider": "sops", "secretRef": {"name": "sops-age"}}
    built = kustomize(shop / "gitops/flux/dev/40-apps", "--load-restrictor", "LoadRestrictionsNone")
    (secret,) = [item for item in built if item["kind"] == "Secret"]
    (web,) = [item for item in built if item["kind"] == "HelmRelease" and item["metadata"]["name"] == "web"]
    assert web["spec"]["valuesFrom"][-1] == {
        "kind": "Secret",
        "name": secret["metadata"]["name"],
        "valuesKey": "environments.dev.40-apps.web.yaml",
    }


@pytest.mark.parametrize("typed", [{"engine": "kustomize"}, {"engine": "flux", "layout": "infra"}])
def test_a_copy_of_an_encrypted_overlay_is_the_same_bytes(
    tmp_path: Path, kustomize: Build, typed: dict[str, str]
) -> None:
    shop = make_shop(tmp_path / "shop")
    (shop / "environments/dev/40-apps/web.yaml").write_text(ENCRYPTED)
    done = run(shop, **typed)
    assert done.code is ExitCode.OK
    assert "dev/shop/web" in {n["component"] for n in done.document["notes"] if "with decryption" in n["message"]}
    copies = [path for path in (shop / "gitops").rglob("*.yaml") if b"AAAA,iv:BBBB" in path.read_bytes()]
    assert [path.read_text() for path in copies] == [ENCRYPTED]
    root = shop / "gitops" / ("kustomize/overlays/dev" if typed["engine"] == "kustomize" else "dev")
    (secret,) = [item for item in kustomize(root) if item["kind"] == "Secret"]
    assert secret["metadata"]["name"] == "web-secret-values"
