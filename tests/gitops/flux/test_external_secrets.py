"""ExternalSecrets of releases, in every form of an export for Flux."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.errors import ExitCode
from tests.gitops.flux.conftest import Build, run
from tests.kits.shop import make_shop

LAYER = """\
stage: jobs
releases:
  - {name: one, namespace: jobs, chart: platform/widget, secrets: [db], needs: [shop-system/widget-operator]}
  - {name: two, namespace: jobs, chart: platform/widget, secrets: [queue], needs: [shop-system/widget-operator]}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    settings.write_text(f"{settings.read_text()}  secret_store: vault\n")
    (root / "layers/45-jobs.yaml").write_text(LAYER)
    return root


@pytest.mark.parametrize(
    ("typed", "directory"),
    [
        ({"engine": "flux"}, "flux/dev/45-jobs"),
        ({"engine": "flux", "layout": "infra"}, "dev/45-jobs"),
        ({"engine": "kustomize"}, "kustomize/overlays/dev"),
    ],
)
def test_each_secret_once_and_its_namespace_once(
    shop: Path, kustomize: Build, typed: dict[str, str], directory: str
) -> None:
    assert run(shop, **typed).code is ExitCode.OK
    built = kustomize(shop / "gitops" / directory, "--load-restrictor", "LoadRestrictionsNone")
    keys = [item["spec"]["dataFrom"][0]["extract"]["key"] for item in built if item["kind"] == "ExternalSecret"]
    assert sorted(keys) == ["dev/store/one/db", "dev/store/two/queue"]
    assert [item["metadata"]["name"] for item in built if item["kind"] == "Namespace"] == ["jobs"]


def test_secrets_beside_the_operator_are_refused(shop: Path) -> None:
    """Flux would apply neither: the kind is unknown until the operator is there."""
    crd = shop / "charts/platform/widget-operator/crds/widgets.yaml"
    text = crd.read_text().replace("kind: Widget,", "kind: ExternalSecret,").replace("WidgetList", "ExternalSecretList")
    crd.write_text(text)
    layer = shop / "layers/20-operators.yaml"
    layer.write_text(layer.read_text().replace("    timeout: 90s", "    timeout: 90s\n    secrets: [auth]"))
    done = run(shop)
    assert done.code is ExitCode.CONFIG
    assert "release shop-system/cache has secrets and is in 20-operators" in done.err
