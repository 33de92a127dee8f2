"""Helmfiles of different shapes: what helmfile renders and what the imported stack renders are the same objects."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.machine_yaml import read_documents, read_map
from devtools.commands import charts as chart_verbs
from devtools.commands.imports.helmfile import Arguments, import_helmfile
from devtools.commands.review import render
from devtools.errors import ExitCode
from tests.kits.chart_servers import Packer, http_repository
from tests.kits.verbs import Done, call

SHAPES = Path(__file__).parent / "helmfiles"
URL = "http://charts.example"
Imported = Callable[[str], tuple[Done, Path]]
# shape: its environments
ENVIRONMENTS = {
    "flat": ["default"],
    "nested": ["default"],
    "environments": ["dev", "production", "staging"],
    "conditions": ["default", "small"],
    "local-charts": ["default"],
    "secrets-set": ["dev", "production"],
    "templates": ["default"],
    "manifests": ["dev", "production"],
}
# what the table must say where the objects differ
DIFFERENT = {("environments", "production"): "acme/web 1.1.0 in production"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Helmfiles:
    """A copy of all shapes, whose repository of charts is served on loopback."""

    root: Path
    app: App
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        """Helm's directories are this test's own."""
        homes = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return {**self.app.environ, **homes, "NO_COLOR": "1", "GOGC": "off"}

    def run(self, shape: str, out: Path, **more: Any) -> Done:
        """Import a shape."""
        typed = Arguments(path=shape, out=str(out), output="json", **more)
        return call(lambda app: import_helmfile(app, typed), "json", environ=self.environ, cwd=self.root)

    def template(self, shape: str, environment: str) -> dict[tuple[str, ...], Any]:
        """Return what the real helmfile renders."""
        helmfile, helm = (self.app.toolchain.path(name) for name in ("helmfile", "helm"))
        words = ("--helm-binary", str(helm), "--environment", environment, "--quiet")
        packer = Packer(helm=helm, home=self.home)
        file = next(path for path in (self.root / shape).glob("helmfile.yaml*"))
        done = packer.run(helmfile, "--file", file, *words, "template", env=self.environ)
        return _objects(done.stdout)

    def rendered(self, out: Path, environment: str) -> dict[tuple[str, ...], Any]:
        """Return what the imported stack renders."""
        typed = render.Arguments(to="../rendered", show_secrets=True, overwrite=True, options=Options())
        environ = {**self.environ, "DEVTOOLS_ENVIRONMENT": environment, "DEVTOOLS_PROVIDER": "context"}
        target = out.parent / "rendered"
        shutil.rmtree(target, ignore_errors=True)
        done = call(lambda app: render.render(app, typed), "text", environ=environ, cwd=out)
        assert done.code == ExitCode.OK, done.err
        files = [path for path in target.rglob("*.yaml") if not path.name.startswith(".")]
        return _objects("\n---\n".join(path.read_text("utf-8") for path in files))


def _objects(text: str) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for item in read_documents(text):
        if isinstance(item, dict) and item.get("kind"):
            metadata = item["metadata"]
            found[item["kind"], str(metadata.get("namespace")), metadata["name"]] = item
    return found


@pytest.fixture(scope="module")
def helmfiles(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helmfiles]:
    """The shapes, with a repository of real archives; skipped, and counted, if helmfile is not built here."""
    if {row.name: row.path for row in app.toolchain.table()}["helmfile"] is None:
        pytest.skip("helmfile is not built here: invoke import.helmfile builds it")
    home = tmp_path_factory.mktemp("helmfiles")
    packer = Packer(helm=app.toolchain.path("helm"), home=home / "home")
    for name, version in (("web", "1.2.0"), ("web", "1.1.0"), ("web", "1.1.4"), ("redis", "1.2.0")):
        packer.pack(SHAPES / "_charts" / name, home / "served", "--version", version)
    packer.index(home / "served")
    with http_repository(home / "served") as url:
        shutil.copytree(SHAPES, home / "shapes")
        for path in (home / "shapes").rglob("*"):
            if path.is_file() and URL.encode() in (raw := path.read_bytes()):
                path.write_bytes(raw.replace(URL.encode(), url.encode()))
        yield Helmfiles(root=home / "shapes", app=app, home=home / "home")


@pytest.fixture(scope="module")
def imported(helmfiles: Helmfiles, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Import a shape once; no test changes the files."""

    @cache
    def once(shape: str) -> tuple[Done, Path]:
        out = tmp_path_factory.mktemp("imported") / "shop"
        done = helmfiles.run(shape, out)
        assert done.code == ExitCode.OK, done.err
        return done, out

    return once


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _rows(document: Mapping[str, Any], *, carried: bool) -> str:
    rows = [row for row in document["rows"] if row["carried"] is carried]
    return "\n".join(f"{row['where']}: {row['what']}: {row['note']}" for row in rows)


@pytest.mark.parametrize("shape", ENVIRONMENTS)
def test_the_imported_stack_renders_the_same_objects(
    helmfiles: Helmfiles, imported: Imported, shape: str, tmp_path: Path
) -> None:
    done, made = imported(shape)
    out = shutil.copytree(made, tmp_path / "shop")
    assert sorted(done.document["environments"]) == ENVIRONMENTS[shape]
    before = _tree(out)
    assert (shape == "environments") == any(b"create_namespace: false" in raw for raw in before.values())
    again = helmfiles.run(shape, out)
    assert again.code == ExitCode.OK, again.err
    assert again.document["written"] == []
    assert _tree(out) == before
    if done.document["charts"]:
        vendored = call(
            lambda app: chart_verbs.vendor(app, (), "", "", "text"), "text", environ=helmfiles.environ, cwd=out
        )
        assert vendored.code == ExitCode.OK, vendored.err
    for environment in ENVIRONMENTS[shape]:
        if (shape, environment) == ("secrets-set", "production"):
            continue  # helmfile itself cannot render it without the key
        ours, theirs = helmfiles.rendered(out, environment), helmfiles.template(shape, environment)
        if why := DIFFERENT.get((shape, environment)):
            assert why in _rows(done.document, carried=False)
            assert ours.keys() == theirs.keys()
            continue
        assert ours == theirs, environment


def test_kustomizations_are_carried_over_with_their_bases(helmfiles: Helmfiles, tmp_path: Path) -> None:
    """helmfile needs kustomize to render them, so what they render is compared with what was written by hand."""
    out = tmp_path / "shop"
    done = helmfiles.run("kustomizations", out)
    assert done.code == ExitCode.OK, done.err
    assert sorted(name for name in _tree(out) if name.startswith("charts/")) == [
        "charts/kustomize/app/base/app.yaml",
        "charts/kustomize/app/base/kustomization.yaml",
        "charts/kustomize/app/overlays/dev/kustomization.yaml",
        "charts/kustomize/app/overlays/production/kustomization.yaml",
        "charts/kustomize/far/files/app/base/app.yaml",
        "charts/kustomize/far/files/app/base/kustomization.yaml",
        "charts/kustomize/far/files/deploy/far/kustomization.yaml",
        "charts/kustomize/far/kustomization.yaml",
    ]
    for environment in ("dev", "production"):
        names = sorted(f"{kind} {name}" for kind, _, name in helmfiles.rendered(out, environment))
        assert names == ["ConfigMap app", f"ConfigMap {environment}-app"]
    left_out = _rows(done.document, carried=False)
    assert "values: images: write it into charts/kustomize/far" in left_out
    assert "./templated has a template, a.yaml.gotmpl" in left_out
    assert "./remote cannot be packaged: remote/kustomization.yaml:1:13: 'https://example.com/a.yaml'" in left_out
    again = helmfiles.run("kustomizations", out)
    assert (again.code, again.document["written"]) == (ExitCode.OK, [])


def test_hooks_and_atomic_become_keys_of_the_release(imported: Imported) -> None:
    found: dict[str, dict[str, Any]] = {}
    for shape in ("flat", "local-charts"):
        for layer in (imported(shape)[1] / "layers").glob("[0-9]*.yaml"):
            found |= {release["name"]: release for release in read_map(layer.read_bytes())["releases"]}
    assert found["cache"]["on_failure"] == "rollback"
    assert found["umbrella"]["before"] == [{"run": ["./scripts/migrate.sh", "--all"]}]
    assert found["umbrella"]["after"] == [{"run": ["echo", "ready"]}]


def test_keys_that_differ_between_environments(helmfiles: Helmfiles, tmp_path: Path) -> None:
    (helmfiles.root / "differing").mkdir()
    (helmfiles.root / "differing/helmfile.yaml.gotmpl").write_text("""environments: {dev: {}, production: {}}
---
helmDefaults: {timeout: 100}
releases:
  - name: web
    namespace: shop
    chart: ../_charts/web
    atomic: {{ eq .Environment.Name "dev" }}
    wait: false
    hooks:
      - {events: [postsync], command: ./first}
      - {events: [postsync], command: ./notify, args: [{{ .Environment.Name }}]}
      - {events: [postsync], command: ./last}
  - {name: ui, namespace: shop, chart: ../_charts/web, wait: false}
  - {name: api, namespace: shop, chart: ../_charts/web}
""")
    done = helmfiles.run("differing", tmp_path / "out")
    assert done.code == ExitCode.OK, done.err
    (layer,) = (tmp_path / "out/layers").glob("[0-9]*.yaml")
    web, ui, api = read_map(layer.read_bytes())["releases"]
    only = [item for item in web["after"] if "environments" in item]
    assert only == [
        {"run": ["./notify", "dev"], "environments": ["dev"]},
        {"run": ["./notify", "production"], "environments": ["production"]},
    ]
    every = {tuple(item["run"]) for item in web["after"] if "environments" not in item}
    assert every == {("./first",), ("./last",)}
    assert "web: atomic: false in production" in _rows(done.document, carried=False)
    assert ("wait" in web, ui["wait"], "wait" in api) == (False, False, False)  # atomic waits; absent is true


def test_a_dry_run_shows_the_same_table(helmfiles: Helmfiles, imported: Imported, tmp_path: Path) -> None:
    done = helmfiles.run("flat", tmp_path / "shop", dry_run=True)
    assert (done.code, done.document["rows"]) == (ExitCode.OK, imported("flat")[0].document["rows"]), done.err
    assert not (tmp_path / "shop").exists()


def test_the_table_says_what_was_not_carried_over(imported: Imported) -> None:
    rows = {}
    for shape in ("flat", "local-charts", "secrets-set", "environments", "templates"):
        done, _ = imported(shape)
        rows[shape] = (_rows(done.document, carried=True), _rows(done.document, carried=False))
        assert "CANARY" not in done.out + done.err
    assert "flat/helmfile.yaml:30: shop/cache: atomic is `on_failure: rollback`" in rows["flat"][0]
    assert "atomic" not in rows["flat"][1]
    assert "hook migrate (presync) is `before:`" in rows["local-charts"][0]
    assert "hook notify (postsync) is `after:`" in rows["local-charts"][0]
    assert "local-charts/helmfile.yaml:11: shop/umbrella: hook echo" in rows["local-charts"][1]
    assert "secret values: password, token" in rows["secrets-set"][1]
    assert "secrets in production: web.secrets.yaml: copied as it is to web.secrets.yaml" in rows["secrets-set"][0]
    assert "environments/values/web.yaml.gotmpl:4: template function exec" in rows["environments"][0]
    assert "templates/helmfile.yaml:16: api: no namespace" in rows["templates"][0]


def test_names_that_helm_takes_and_a_layer_does_not(helmfiles: Helmfiles, tmp_path: Path) -> None:
    (helmfiles.root / "names").mkdir()
    chart = "chart: ../_charts/web"
    text = f"- {{name: web, {chart}, labels: {{tier: a}}}}\n- {{name: old.api, {chart}}}\n"
    (helmfiles.root / "names/helmfile.yaml").write_text(
        f"commonLabels: {{team: shop}}\nreleases:\n{text}- {{name: ui, {chart}, needs: [old.api]}}\n"
    )
    done = helmfiles.run("names", tmp_path / "shop")
    assert done.code == ExitCode.OK, done.err
    rows = _rows(done.document, carried=False)
    assert "old.api: the release: its name must have at most 53 lower-case letters, digits and '-'" in rows
    assert "ui: needs old.api" in rows
    (layer,) = (tmp_path / "shop/layers").iterdir()
    releases = read_map(layer.read_bytes())["releases"]
    assert {item["name"]: item["labels"] for item in releases} == {
        "web": {"team": "shop", "tier": "a"},
        "ui": {"team": "shop"},
    }


FIRST = """\
helmDefaults: {wait: true, atomic: true, cleanupOnFail: true}
releases:
  - {name: cache, namespace: a, chart: ../../_charts/web, wait: false}
"""
SECOND = "releases: [{name: api, namespace: a, chart: ../../_charts/web, values: [../api.yaml]}]\n"


def test_a_directory_of_helmfiles_in_their_order(helmfiles: Helmfiles, tmp_path: Path) -> None:
    root = helmfiles.root / "directory"
    (root / "helmfile.d").mkdir(parents=True)
    for name, text in (
        ("helmfile.d/10-b.yaml", SECOND),
        ("helmfile.d/05-a.yaml", FIRST),
        ("api.yaml", "replicas: 3\n"),
    ):
        (root / name).write_text(text)
    out = tmp_path / "shop"
    done = helmfiles.run("directory", out)
    assert done.code == ExitCode.OK, done.err
    assert _rows(done.document, carried=False) == ""
    layers = {path.name: read_map(path.read_bytes())["releases"] for path in sorted((out / "layers").iterdir())}
    assert [(name, [item["name"] for item in found]) for name, found in layers.items()] == [
        ("10-a.yaml", ["cache"]),
        ("20-b.yaml", ["api"]),
    ]
    assert "wait" not in layers["10-a.yaml"][0]  # atomic waits, whatever else is said
    assert "wait" not in layers["20-b.yaml"][0]
    helmfile, helm = (helmfiles.app.toolchain.path(name) for name in ("helmfile", "helm"))
    packer = Packer(helm=helm, home=helmfiles.home)
    words = ("--helm-binary", str(helm), "--quiet", "--file", str(root / "helmfile.d"), "template")
    assert helmfiles.rendered(out, "default") == _objects(packer.run(helmfile, *words, env=helmfiles.environ).stdout)


def test_no_secret_is_in_any_file(helmfiles: Helmfiles, imported: Imported) -> None:
    encrypted = "environments/production/10-main/web.secrets.yaml"
    tree = _tree(imported("secrets-set")[1])
    assert tree.pop(encrypted) == (helmfiles.root / "secrets-set/web.secrets.yaml").read_bytes()
    assert not [name for name, raw in tree.items() if b"CANARY" in raw or b"ref+" in raw]


def test_encrypted_files_that_are_not_copied(helmfiles: Helmfiles, tmp_path: Path) -> None:
    root = helmfiles.root / "more-secrets"
    root.mkdir()
    good = (helmfiles.root / "secrets-set/web.secrets.yaml").read_text()
    for name, text in (("a", good), ("b", good), ("plain", f"visible: CANARY-1\n{good}"), ("not", "x: CANARY-2\n")):
        (root / f"{name}.yaml").write_text(text)
    entry = "- {{name: {}, namespace: ns, chart: ../_charts/web, secrets: [{}]}}\n"
    files = {"one": "a.yaml", "two": "a.yaml, b.yaml", "three": "plain.yaml", "four": "not.yaml", "five": "gone.yaml"}
    text = "".join(entry.format(name, found) for name, found in files.items())
    (root / "helmfile.yaml").write_text(f"environments: {{dev: {{}}, prod: {{}}}}\n---\nreleases:\n{text}")
    done = helmfiles.run("more-secrets", tmp_path / "shop")
    assert done.code == ExitCode.OK, done.err
    tree = _tree(tmp_path / "shop")
    assert [name for name in tree if name.endswith(".secrets.yaml")] == [
        "environments/_shared/10-main/one.secrets.yaml"
    ]
    rows = _rows(done.document, carried=False)
    assert "ns/two: secrets in dev: b.yaml: a release has one encrypted file here" in rows
    assert "ns/three: secrets in prod: plain.yaml: visible is in plain text" in rows
    assert "ns/four: secrets in prod: not.yaml: is not encrypted by SOPS" in rows
    assert "CANARY-" not in rows + done.err + "".join(map(str, tree.values()))


def test_files_of_the_user_are_not_overwritten(helmfiles: Helmfiles, imported: Imported, tmp_path: Path) -> None:
    out = shutil.copytree(imported("flat")[1], tmp_path / "shop")
    layer, lock = out / "layers/10-main.yaml", out / "charts/third_party/lock.yaml"
    layer.write_text(layer.read_text("utf-8").replace("timeout: 600s", "timeout: 700s"), "utf-8")
    pinned = lock.read_bytes()
    before = _tree(out)
    refused = helmfiles.run("flat", out)
    assert refused.code == ExitCode.CONFIG
    assert "layers/10-main.yaml" in refused.out
    assert "exists with different content" in refused.out
    assert _tree(out) == before
    assert helmfiles.run("flat", out, overwrite=True).document["written"] == ["layers/10-main.yaml"]
    assert lock.read_bytes() == pinned


def test_a_lock_that_is_there_is_extended(helmfiles: Helmfiles, tmp_path: Path) -> None:
    text = "# ours\ncharts:\n  - publisher: acme\n    name: web\n    version: 0.9.0\n    sha256: null\n    repository: http://x.example\n"
    lock = tmp_path / "charts/third_party/lock.yaml"
    lock.parent.mkdir(parents=True)
    lock.write_text(text, "utf-8")
    done = helmfiles.run("flat", tmp_path)
    assert done.code == ExitCode.OK, done.err
    assert lock.read_text("utf-8").startswith(text)
    charts = {f"{item['publisher']}/{item['name']}": item["version"] for item in read_map(lock.read_bytes())["charts"]}
    assert charts == {"acme/web": "0.9.0", "acme-1-1-0/web": "1.1.0", "acme-1-2-0/web": "1.2.0", "acme/redis": "1.2.0"}


def test_templates_elsewhere_that_read_secrets_are_refused(helmfiles: Helmfiles, tmp_path: Path) -> None:
    chart = SHAPES / "_charts" / "web"
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("CANARY", "utf-8")
    (tmp_path / "in" / "helmfile.yaml").write_text(
        f"releases:\n  - {{name: web, namespace: shop, chart: {chart}, values: [../a.gotmpl, ../b.gotmpl]}}\n", "utf-8"
    )
    secret = f"ref+file://{tmp_path}/secret.txt"
    (tmp_path / "a.gotmpl").write_text(f"password: {secret}\n", "utf-8")
    (tmp_path / "b.gotmpl").write_text(f"token: {{{{ fetchSecretValue `{secret}` }}}}\n", "utf-8")
    typed = Arguments(path="in", out="out", output="json")
    done = call(lambda app: import_helmfile(app, typed), "json", environ=helmfiles.environ, cwd=tmp_path)
    assert done.code == ExitCode.CONFIG
    assert "a.gotmpl:1:1: helmfile resolves a reference in a template" in done.err
    assert "b.gotmpl:1:1: fetchSecretValue would write a secret" in done.err
    assert "CANARY" not in done.out + done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "helmfile.yaml.gotmpl",
            "x: {{ fetchSecretValue `ref+file://x` }}\n",
            ":1:1: fetchSecretValue would write a secret",
        ),
        (
            "helmfile.yaml",
            "hooks:\n  - events: [prepare]\n    command: touch\n",
            ":2:1: helmfile runs hooks of prepare",
        ),
    ],
)
def test_what_would_run_or_reveal_too_much_is_refused(
    helmfiles: Helmfiles, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(text, "utf-8")
    typed = Arguments(path="in", out="out", output="json")
    done = call(lambda app: import_helmfile(app, typed), "json", environ=helmfiles.environ, cwd=tmp_path)
    assert done.code == ExitCode.CONFIG
    assert message in done.err
    assert not (tmp_path / "out").exists()
