"""`charts.upgrade` with the real helm, chart repository and registry: what is shown, and what is written."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.base.atomic_write import write_whole
from devtools.base.open_file import sha256_of
from devtools.charts.lock import load_lock
from devtools.commands import charts
from devtools.commands.upgrades import writing
from devtools.commands.upgrades.upgrade import OUTPUTS, Arguments, upgrade
from devtools.errors import ExitCode
from devtools.report.changes.upgrade import upgrade_lines, upgrade_markdown
from devtools.report.text import plain
from tests.kits.chart_servers import Packer, http_repository, oci_registry
from tests.kits.git import commit, git
from tests.kits.stack import write
from tests.kits.verbs import Done, call

LOCK = "charts/third_party/lock.yaml"
OLD, NEW = (f"charts/third_party/acme/web/web-{version}.tgz" for version in ("1.0.0", "1.1.0"))
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {helm.sh/chart: "web-{{ .Chart.Version }}"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "acme.example/web:{{ .Chart.AppVersion }}", args: ["{{ .Values.mode | default "" }}"]}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: web, labels: {helm.sh/chart: "web-{{ .Chart.Version }}"}}
stringData: {password: {{ .Values.password | quote }}, version: {{ .Chart.Version | quote }}}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: webs.acme.example}
spec:
  group: acme.example
  scope: Namespaced
  names: {kind: Web, listKind: WebList, plural: webs, singular: web}
  versions: [VERSIONS]
"""
VERSION = "{name: NAME, served: true, storage: STORAGE, schema: {openAPIV3Schema: {type: object}}}"
VALUES = "replicas: 1\nmode: ''\npassword: default-canary\nold: {a: 1, b: 2}\n"
LAYER = """\
stage: web
releases:
  - name: web
    namespace: shop
    chart: acme/web
    values:
      mode: fast
      old: {a: 5}
      password: canary-own-password
"""
CONTRACT = """\
    contract:
      crds:
        - {group: acme.example, kind: Web, plural: webs, scope: Namespaced, status: false,
           versions: [{name: v1beta1, storage: true}]}
      workloads:
        - {kind: Deployment, name: "{release}"} # ours
"""


@pytest.fixture
def packer(tool: Callable[[str], Path], tmp_path: Path) -> Packer:
    (tmp_path / "home").mkdir()
    return Packer(helm=tool("helm"), home=tmp_path / "home")


@pytest.fixture(scope="module")
def packed(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a chart that differ in everything that is shown, and an index; tests copy them."""
    home = tmp_path_factory.mktemp("packed")
    packer, served = Packer(helm=tool("helm"), home=home), home / "served"
    first = web(packer, "1.0.0", VALUES, "v1beta1", appVersion="1", kubeVersion=">=1.20.0-0")
    values = "replicas: 2\nmode: ''\npassword: default-canary\nnew: {on: false}\n"
    second = web(packer, "1.1.0", values, "v1", "v1beta1", appVersion="2", kubeVersion=">=1.30.0-0")
    for chart in (first, second, packer.chart("web", "2.0.0-rc.1")):
        packer.pack(chart, served)
    packer.index(served)
    return served


@pytest.fixture
def source(tmp_path: Path, packed: Path) -> Iterator[str]:
    """A chart repository with these versions."""
    with http_repository(shutil.copytree(packed, tmp_path / "served")) as url:
        yield url


def web(packer: Packer, version: str, values: str, *crds: str, **more: Any) -> Path:
    """A chart directory; the first version of its CRD is stored."""
    chart = packer.chart("web", version, **more)
    versions = [VERSION.replace("NAME", name).replace("STORAGE", str(name == crds[0]).lower()) for name in crds]
    files: dict[str, str | bytes] = {"values.yaml": values, "templates/a.yaml": DEPLOYMENT, "templates/b.yaml": SECRET}
    if crds:
        files["crds/web.yaml"] = CRD.replace("VERSIONS", ", ".join(versions))
    return write(chart, files)


class Repo:
    """A repository with two environments."""

    def __init__(self, root: Path, url: str, home: Path, entries: str = "") -> None:
        self.root = root
        cache = os.environ.get("DEVTOOLS_CACHE", "") or str(Path.home() / ".cache/ameide-devtools")
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home), "DEVTOOLS_STATE": str(home / "state")}
        self.environ["DEVTOOLS_CACHE"] = cache
        entry = (
            f"  - publisher: acme # ours\n    name: web\n    version: 1.0.0\n    sha256: null\n    repository: {url}\n"
        )
        write(
            root,
            {
                "devtools.yaml": "cluster: {provider: kwok}\nenvironment: dev\n",
                LOCK: f"charts:\n{entry}{CONTRACT}{entries}",
                "layers/10-web.yaml": LAYER,
                "environments/dev/environment.yaml": "",
                "environments/production/10-web/web.yaml": "replicas: 3\n",
            },
        )

    def vendor(self) -> None:
        done = call(lambda app: charts.vendor(app, (), "", "", "text"), "text", environ=self.environ, cwd=self.root)
        assert done.code is ExitCode.OK, done.err

    def upgrade(self, chart: str = "acme/web", output: str = "json", **typed: Any) -> Done:
        arguments = Arguments(chart=chart, output=output, **typed)
        verb = lambda app: upgrade(app, arguments)  # noqa: E731 - as tasks do
        return call(verb, output, environ=self.environ, cwd=self.root, outputs=OUTPUTS)

    def tree(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}

    def entry(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.load((self.root / LOCK).read_text(), yaml.CSafeLoader)["charts"][0]
        return found


@pytest.fixture(scope="module")
def vendored(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    """A repository with the chart's archive; tests copy it."""
    root = tmp_path_factory.mktemp("vendored")
    with http_repository(packed) as url:
        made = Repo(root / "repo", url, root / "home")
        made.vendor()
        yield made


@pytest.fixture
def repo(tmp_path: Path, source: str, vendored: Repo) -> Repo:
    made = Repo(tmp_path / "repo", source, tmp_path / "home")
    shutil.copytree(vendored.root, made.root, dirs_exist_ok=True)
    lock = made.root / LOCK
    lock.write_text(lock.read_text().replace(vendored.entry()["repository"], source))
    return made


def test_a_dry_run_shows_everything_and_writes_nothing(repo: Repo) -> None:
    before = repo.tree()
    done = repo.upgrade(dry_run=True)
    assert done.code is ExitCode.OK, done.err
    assert repo.tree() == before
    found = done.document
    assert (found["chart"], found["from"], found["to"], found["written"]) == ("acme/web", "1.0.0", "1.1.0", False)
    assert {row["name"]: (row["before"], row["after"]) for row in found["metadata"]} == {
        "appVersion": ("1", "2"),
        "kubeVersion": (">=1.20.0-0", ">=1.30.0-0"),
    }
    values = {row["path"]: row for row in found["values"]}
    assert {path: row["action"] for path, row in values.items()} == {
        "replicas": "change",
        "new": "add",
        "old": "remove",
    }
    assert values["replicas"]["set"] == [
        {
            "path": "replicas",
            "where": "environments/production/10-web/web.yaml:1:1",
            "release": "shop/web",
            "environments": ["production"],
        }
    ]
    (place,) = values["old"]["set"]
    assert (place["path"], place["where"]) == ("old.a", "layers/10-web.yaml:8:13")
    assert place["environments"] == ["dev", "production"]
    (crd,) = found["crds"]
    assert (crd["before"], crd["after"]) == (["v1beta1 (stored)"], ["v1 (stored)", "v1beta1"])
    assert crd["notes"] == ["stores v1 instead of v1beta1", "v1 is new"]
    assert found["images"] == [{"name": "acme.example/web", "before": "1", "after": "2"}]
    assert found["contract"] == "updated"
    assert [one["environment"] for one in found["environments"]] == ["dev", "production"]
    for one, replicas in zip(found["environments"], (2, 3), strict=True):
        (release,) = one["releases"]
        assert release["reason"] == "chart 1.0.0 → 1.1.0"
        fields = {f"{item['kind']}{field['path']}": field for item in release["objects"] for field in item["fields"]}
        assert fields['Deployment.spec.template.spec.containers[name="web"].image']["after"] == "acme.example/web:2"
        assert ("Deployment.spec.replicas" in fields) == (replicas == 2)
        assert fields["Secret.stringData.version"]["hidden"]
    text = "\n".join(map(plain, upgrade_lines(found, 100)))
    for shown in (done.out + done.err, text, upgrade_markdown(found)):
        assert "canary" not in shown
        assert "environments/production/10-web/web.yaml:1:1" in shown
        assert "acme.example/web" in shown
    assert "1 more object differ only in labels" not in text


def test_the_lock_and_the_archive_are_written(repo: Repo, tmp_path: Path) -> None:
    """Only what is different changes in the lock; the archive of the version before goes."""
    before = (repo.root / LOCK).read_text()
    done = repo.upgrade()
    assert done.code is ExitCode.OK, done.err
    served = tmp_path / "served/web-1.1.0.tgz"
    assert (repo.root / NEW).read_bytes() == served.read_bytes()
    assert not (repo.root / OLD).exists()
    assert done.document["files"] == [NEW, LOCK]
    entry = repo.entry()
    assert (entry["version"], entry["sha256"]) == ("1.1.0", sha256_of(served))
    (crd,) = entry["contract"]["crds"]
    assert crd["versions"] == [{"name": "v1", "storage": True}, {"name": "v1beta1"}]
    after = (repo.root / LOCK).read_text()
    assert [line for line in after.splitlines() if line in before] == [
        line for line in before.splitlines() if not re.search("version: 1|sha256|group: acme|versions:", line)
    ]
    checked = call(lambda app: charts.verify(app, "text"), "text", environ=repo.environ, cwd=repo.root)
    assert checked.code is ExitCode.OK, checked.err
    again = repo.upgrade(output="text")
    assert (again.code, again.out) == (ExitCode.OK, "acme/web 1.1.0: there is no newer version\n")
    assert repo.upgrade(to="1.1.0").document["written"] is False


def test_layer_files_that_name_the_version_follow(repo: Repo, source: str) -> None:
    """Of two versions one moves; the other stays, with its archive."""
    other = f"  - {{publisher: acme, name: web, version: 2.0.0-rc.1, sha256: null, repository: '{source}'}}\n"
    (repo.root / LOCK).write_text((repo.root / LOCK).read_text() + other)
    layer = repo.root / "layers/10-web.yaml"
    text = (
        LAYER.replace("acme/web", "acme/web@1.0.0 # pinned")
        + "  - {name: rc, namespace: ns, chart: acme/web@2.0.0-rc.1}\n"
    )
    layer.write_text(text)
    repo.vendor()
    refused = repo.upgrade()
    assert refused.code is ExitCode.CONFIG
    assert "acme/web@1.0.0 or acme/web@2.0.0-rc.1" in refused.out
    there = repo.upgrade("acme/web@1.0.0", to="2.0.0-rc.1")
    assert there.code is ExitCode.CONFIG
    assert f"is locked already, at {LOCK}:" in there.out
    done = repo.upgrade("acme/web@1.0.0")
    assert done.code is ExitCode.OK, done.err
    assert layer.read_text() == text.replace("acme/web@1.0.0", "acme/web@1.1.0")
    pins = {
        entry.pin: repo.root / "charts/third_party" / entry.archive
        for entry in load_lock(repo.root / "charts", repo.root).entries.values()
    }
    assert [*pins] == ["acme/web@1.1.0", "acme/web@2.0.0-rc.1"]
    assert all(path.exists() for path in pins.values())


def test_an_upgrade_that_was_killed_is_finished_by_the_next(repo: Repo) -> None:
    """It had written the archive and a layer file, and neither the other layer file nor the lock."""
    first, second = repo.root / "layers/10-web.yaml", repo.root / "layers/20-more.yaml"
    first.write_text(LAYER.replace("acme/web", "acme/web@1.0.0"))
    second.write_text("stage: more\nreleases: [{name: more, namespace: ns, chart: acme/web@1.0.0}]\n")
    before = repo.tree()
    assert repo.upgrade().code is ExitCode.OK
    after = repo.tree()
    for path in (LOCK, OLD, "layers/20-more.yaml"):
        (repo.root / path).write_bytes(before[path])
    rehearsed = repo.upgrade(dry_run=True, output="text")
    assert rehearsed.code is ExitCode.CONFIG
    done = repo.upgrade()
    assert done.code is ExitCode.OK, done.err
    assert "layers/10-web.yaml: acme/web@1.1.0 is not locked yet, so it is acme/web@1.0.0 again" in done.err
    assert repo.tree() == after
    assert {one["release"] for one in done.document["environments"][0]["releases"]} == {"shop/web", "ns/more"}


@pytest.mark.parametrize(("version", "hint"), [("1.0.7", "there is 1.0.0 and 1.1.0"), ("9.9.9", "there is 1.1.0")])
def test_a_version_that_is_not_there(repo: Repo, version: str, hint: str) -> None:
    before = repo.tree()
    done = repo.upgrade(to=version, output="text")
    assert done.code is ExitCode.CONFIG
    assert hint in done.err
    assert repo.tree() == before


def test_from_a_directory_of_archives(repo: Repo, tmp_path: Path) -> None:
    missing = repo.upgrade(to="1.1.1", source="../served", output="text")
    assert missing.code is ExitCode.CONFIG
    assert "did you mean '1.1.0'?" in missing.err
    (tmp_path / "served/index.yaml").unlink()
    done = repo.upgrade(source="../served")
    assert done.code is ExitCode.OK, done.err
    assert done.document["to"] == "1.1.0"


def test_from_a_registry(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    with oci_registry(tmp_path / "home") as reference:
        for version in ("1.0.0", "1.1.0"):
            packer.run(
                packer.helm, "push", tmp_path / f"served/web-{version}.tgz", f"{reference}/charts", "--plain-http"
            )
        done = repo.upgrade(source=f"{reference}/charts")
        assert done.code is ExitCode.OK, done.err
        assert (done.document["to"], done.document["source"]) == ("1.1.0", f"{reference}/charts/web")


@pytest.mark.parametrize("begin", ["v", "web-"])
def test_from_a_git_repository(repo: Repo, packer: Packer, tmp_path: Path, begin: str) -> None:
    """The tag and its commit move with the version."""
    upstream = tmp_path / "upstream"
    heads = {}
    for version in ("1.0.0", "1.1.0"):
        shutil.copytree(web(packer, version, VALUES), upstream / "charts/web", dirs_exist_ok=True)
        heads[version] = commit(upstream)
        git(upstream, "tag", f"{begin}{version}")
    lock = repo.root / LOCK
    text = re.sub(r"sha256: .*", "sha256: null", lock.read_text())
    keys = f"git: file://{upstream}\n    ref: {begin}1.0.0 # ours\n    commit: null\n    path: charts/web"
    lock.write_text(re.sub(r"repository: .*", keys, text))
    (repo.root / OLD).unlink()
    repo.vendor()
    missing = repo.upgrade(to="9.9.9", output="text")
    assert missing.code is ExitCode.CONFIG
    assert f"there is {begin}1.1.0" in missing.err
    assert repo.upgrade(source="../served").code is ExitCode.CONFIG
    done = repo.upgrade()
    assert done.code is ExitCode.OK, done.err
    entry = repo.entry()
    assert (entry["version"], entry["ref"], entry["commit"]) == ("1.1.0", f"{begin}1.1.0", heads["1.1.0"])
    assert "# ours" in lock.read_text()
    repo.vendor()
    assert repo.upgrade(output="text").out == "acme/web 1.1.0: there is no newer version\n"


def test_a_source_that_does_not_answer(repo: Repo) -> None:
    for typed in ({}, {"to": "1.1.0"}):
        done = repo.upgrade(source="http://127.0.0.1:9", **typed)
        assert done.code is ExitCode.ENVIRONMENT
    assert repo.entry()["version"] == "1.0.0"


def test_a_release_that_cannot_be_rendered_keeps_the_lock(repo: Repo, packer: Packer, tmp_path: Path) -> None:
    chart = web(packer, "1.2.0", "replicas: 1\n")
    write(chart, {"templates/c.yaml": '{{ required "give it a site" .Values.site }}'})
    packer.pack(chart, tmp_path / "served")
    packer.index(tmp_path / "served")
    before = repo.tree()
    done = repo.upgrade(output="text")
    assert done.code is ExitCode.CONFIG
    assert repo.tree() == before
    printed = " ".join(done.out.split())
    assert "give it a site" in printed
    assert "Nothing was written: 1.2.0 cannot be rendered for shop/web in dev, shop/web in production" in printed
    assert "Images" not in printed
    forced = repo.upgrade(force=True)
    assert (forced.code, forced.document["written"]) == (ExitCode.CONFIG, True)
    assert repo.entry()["version"] == "1.2.0"
    assert forced.document["notices"] == [
        "the contract cannot be derived from the default values: compare it with the new version by hand"
    ]


def test_a_contract_that_people_changed_stays(repo: Repo) -> None:
    lock = repo.root / LOCK
    lock.write_text(lock.read_text().replace('name: "{release}"', 'name: "{fullname}"'))
    done = repo.upgrade()
    assert done.code is ExitCode.OK, done.err
    assert "does not match 1.0.0" in done.document["notices"][0]
    assert repo.entry()["contract"]["workloads"] == [{"kind": "Deployment", "name": "{fullname}"}]


def test_a_chart_that_is_not_vendored_is_compared_too(tmp_path: Path, source: str) -> None:
    made = Repo(tmp_path / "repo", source, tmp_path / "home")
    done = made.upgrade(dry_run=True)
    assert done.code is ExitCode.OK, done.err
    assert done.document["images"]
    assert [*made.tree()] == [*Repo(tmp_path / "repo", source, tmp_path / "home").tree()]
    write(tmp_path / "repo", {LOCK: (tmp_path / "repo" / LOCK).read_text().replace("1.0.0", "0.9.0")})
    done = made.upgrade(to="1.1.0")
    assert done.code is ExitCode.OK, done.err
    assert "nothing is compared: acme/web@0.9.0 is not vendored" in done.document["notices"][0]
    assert done.document["written"]


@pytest.mark.parametrize("which", [1, 2])
def test_a_disk_that_fails_leaves_all_as_it_was(repo: Repo, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    before, count = repo.tree(), 0

    def fails(path: Path, content: bytes, **more: Any) -> None:
        nonlocal count
        count += 1
        if count == which:
            raise OSError(28, "No space left on device")
        write_whole(path, content, **more)

    monkeypatch.setattr(writing, "write_whole", fails)
    done = repo.upgrade(output="text")
    assert done.code is ExitCode.ENVIRONMENT
    assert "No space left on device" in done.err
    assert repo.tree() == before


def test_wrong_arguments(repo: Repo) -> None:
    assert "did you mean 'acme/web'?" in repo.upgrade("acme/wab").out
    assert "--to must be a version" in repo.upgrade(to="latest").out
    assert json.loads(repo.upgrade("platform/web").out)["exit_code"] == ExitCode.CONFIG
