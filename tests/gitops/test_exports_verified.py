"""`gitops.verify` over exports of the shop and of the platform: clean, and each planted mistake is found."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.clusters.provider import Cluster
from devtools.commands.gitops import export as verb
from devtools.commands.gitops.verify import Arguments, verify
from devtools.gitops.verify import findings_of, notes_of, read_world
from tests.gitops.test_export import run
from tests.kits.crds import DIRECTORY, needs_crds
from tests.kits.shop import ROOT, make_shop
from tests.kits.verbs import call

ENGINES = ("argocd", "flux", "kustomize")
ENCRYPTED = """\
token: ENC[AES256_GCM,data:AAAA,iv:BBBB,tag:CCCC,type:str]
sops:
    age:
        - recipient: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
            -----END AGE ENCRYPTED FILE-----
    mac: ENC[AES256_GCM,data:AAAA,iv:BBBB,tag:CCCC,type:str]
    version: 3.13.3
"""


def make_platform(directory: Path) -> Path:
    """What an export of this repository reads."""
    for name in ("charts", "environments", "layers", "simulation"):
        shutil.copytree(ROOT / name, directory / name)
    for name in ("devtools.yaml", "images.yaml"):
        shutil.copy(ROOT / name, directory / name)
    return directory


@pytest.fixture(scope="module", params=[make_shop, make_platform], ids=["shop", "platform"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with its export for every engine."""
    root: Path = request.param(tmp_path_factory.mktemp("verified") / "repository")
    for engine in ENGINES:
        assert run(root, engine=engine).code == 0, engine
    return root


def test_an_export_is_clean(exported: Path) -> None:
    world = read_world(exported / "gitops")
    assert [f"{one.rule} {one.file}:{one.line} {one.message}" for one in findings_of(world)] == []
    assert list(notes_of(world)) == []
    assert sum(one.generated for one in world.applications) > 20


@pytest.mark.cluster
@needs_crds
@pytest.mark.usefixtures("schemas_lock")
def test_the_api_server_takes_every_object_of_an_export(exported: Path, app: App, cluster: Cluster) -> None:
    typed = Arguments(directory="gitops", crds=(str(DIRECTORY),), schemas="server")
    done = call(lambda app: verify(app, typed, "json"), "json", environ=app.environ, cwd=exported)
    assert done.document["findings"] == []
    assert done.document["schemas"]["by"].startswith("API server v")
    assert done.document["schemas"]["skipped"] == {}


def remove(text: str) -> Callable[[str], str]:
    return lambda old: old.replace(text, "", 1)


def replace(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("file", "edit", "rules"),
    [
        ("argocd/apps/production.yaml", remove("maxUpdate: 0"), {"manual-rolling-sync"}),
        ("argocd/apps/dev.yaml", replace("syncOptions:", "syncOption:"), {"patch-unknown-key"}),
        ("argocd/apps/dev.yaml", remove("- missingkey=error"), {"missingkey-not-error"}),
        (
            "environments/dev/components/apps/web/component.yaml",
            replace("valueFiles:\n", "valueFiles:\n- environments/dev/40-apps/wbe.yaml\n"),
            {"value-file-missing"},
        ),
        ("environments/dev/components/apps/web/component.yaml", replace("tier:", "teir:"), None),
        ("flux/dev/40-apps/web.yaml", remove("  storageNamespace: shop\n"), {"release-identity-missing"}),
        ("flux/dev/40-apps/web.yaml", replace("name: web-values", "name: wbe-values"), {"values-from-missing"}),
        ("flux/dev/30-data/orders.yaml", replace("- name: cache\n", "- name: cash\n"), {"depends-on-missing"}),
    ],
)
def test_a_mistake_in_an_export_is_found(
    tmp_path: Path, file: str, edit: Callable[[str], str], rules: set[str] | None
) -> None:
    root = make_shop(tmp_path / "shop")
    assert run(root, engine=file.partition("/")[0] if file.startswith("flux") else "argocd").code == 0
    path = root / "gitops" / file
    before = path.read_text()
    path.write_text(edit(before))
    assert path.read_text() != before, "the mistake was not planted"
    found = {one.rule for one in findings_of(read_world(root / "gitops"))}
    assert found == rules if rules else {"template-key-missing", "component-unknown-key"} <= found


def test_no_secret_of_environment_or_sops_file_is_exported(tmp_path: Path) -> None:
    """A canary in the environment, where the key of SOPS is, too; the encrypted file stays as it is."""
    canary = "c4naryQ7wm2Rz81xTe"
    root = make_shop(tmp_path / "shop")
    (root / "environments/dev/40-apps/web.yaml").write_text(ENCRYPTED)
    environ = {
        "DEVTOOLS_CACHE": str(tmp_path / "cache"),
        "DEVTOOLS_STATE": str(tmp_path / "state"),
        "BUF_TOKEN": canary,
        "SOPS_AGE_KEY": canary,
        "API_PASSWORD": canary,
    }
    texts = []
    for engine in ENGINES:
        for output in ("text", "json"):
            typed = partial(verb.export, typed=verb.Arguments(engine=engine, output=output))
            done = call(typed, output, environ=environ, cwd=root)
            assert done.code == 0, done.err
            texts += [done.out, done.err]
    done = call(lambda app: verify(app, Arguments(schemas="none"), "text"), "text", environ=environ, cwd=root)
    assert canary not in "".join([*texts, done.out, done.err])
    written = [path for path in (root / "gitops").rglob("*") if path.is_file()]
    assert len(written) > 100
    assert not [path for path in written if canary.encode() in path.read_bytes()]
    copies = [path for path in written if b"AAAA,iv:BBBB" in path.read_bytes()]
    assert all(path.read_text() == ENCRYPTED for path in copies)


def test_findings_do_not_repeat_values(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "shop")
    (root / "environments/dev/40-apps/web.yaml").write_text("apiToken: q7Wm2Rz81xTe\n")
    assert run(root).code == 0
    out = io.StringIO()
    app = App(environ={"DEVTOOLS_STATE": str(tmp_path)}, cwd=root, out=out, err=out)
    verify(app, Arguments(schemas="none"), "json")
    document: dict[str, Any] = json.loads(out.getvalue())
    assert [one["rule"] for one in document["findings"]] == ["plain-secret"]
    assert "q7Wm2Rz81xTe" not in out.getvalue()
