"""What is exported, imported and loaded again is the same stack: charts, values, order."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.base.archives import packed
from devtools.charts.archive import files_of_archive
from devtools.commands.gitops.imports import Arguments, import_tree
from devtools.config.values import merge
from devtools.errors import ExitCode
from devtools.model import Release, Stack
from tests.gitops.flux.conftest import stacks
from tests.gitops.test_export import run
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

ARCHIVE = "cache/cache-1.2.3.tgz"
URL = "https://git.example.com/shop.git"


def imported(root: Path, directory: str, out: Path, output: str = "json") -> Done:
    typed = Arguments(directory=directory, out=str(out), repository=URL)
    environ = {"DEVTOOLS_STATE": str(root.parent / "state")}
    return call(lambda app: import_tree(app, typed, output), output, environ=environ, cwd=root)


def vendor(shop: Path, out: Path) -> None:
    """The chart of others, under the publisher that the import gave it."""
    there = out / "charts/third_party/example" / ARCHIVE
    there.parent.mkdir(parents=True)
    shutil.copy(shop / "charts/third_party/acme" / ARCHIVE, there)
    ours = yaml.load((shop / "charts/third_party/lock.yaml").read_text(), yaml.CSafeLoader)["charts"][0]
    lock = out / "charts/third_party/lock.yaml"
    lock.write_text(lock.read_text().replace("sha256: null", f"sha256: {ours['sha256']}"))


@pytest.fixture(scope="module", params=["argocd", "argocd-waves", "flux"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Done]:
    """The shop, what its export was imported to, and how that ended."""
    root = make_shop(tmp_path_factory.mktemp("imports") / "shop")
    engine, _, order = request.param.partition("-")
    assert run(root, engine=engine, order=order).code == 0
    out = root.parent / "imported"
    done = imported(root, "gitops", out)
    vendor(root, out)
    return root, out, done


@pytest.fixture(scope="module")
def before(both: tuple[Path, Path, Done]) -> Mapping[str, Stack]:
    return stacks(both[0])


@pytest.fixture(scope="module")
def after(both: tuple[Path, Path, Done]) -> Mapping[str, Stack]:
    return stacks(both[1])


def releases(stack: Stack) -> dict[str, Release]:
    return {str(release.id): release for release in stack.releases() if release.installed}


def test_the_import_succeeds_with_notes(both: tuple[Path, Path, Done]) -> None:
    done = both[2]
    assert done.code == 0, done.err
    document = done.document
    assert (document["kind"], document["releases"]) == ("gitops-import", 9)
    assert not [note for note in document["notes"] if note["refused"]]


def test_every_release_has_its_chart(before: Mapping[str, Stack], after: Mapping[str, Stack]) -> None:
    assert set(after) == set(before) == {"dev", "staging", "production"}
    for environment, stack in before.items():
        ours, theirs = releases(stack), releases(after[environment])
        assert set(ours) == set(theirs)
        for name, release in ours.items():
            assert theirs[name].chart.name.split("/")[1] == release.chart.name.split("/")[1]
            assert theirs[name].smoke == release.smoke


def test_every_release_has_its_values(before: Mapping[str, Stack], after: Mapping[str, Stack]) -> None:
    for environment, stack in before.items():
        theirs = releases(after[environment])
        for name, release in releases(stack).items():
            assert plain(theirs[name], after[environment]) == plain(release, stack), (environment, name)


def plain(release: Release, stack: Stack) -> Any:
    return json.loads(json.dumps(merge(release, stack.environment, charts_default=True).data))


def test_what_needs_another_comes_later(before: Mapping[str, Stack], after: Mapping[str, Stack]) -> None:
    for environment, stack in before.items():
        place = {str(one.id): (one.layer, number) for number, one in enumerate(after[environment].releases())}
        needed = {str(one.id): {str(need.release) for need in one.needs} for one in after[environment].releases()}
        for name, release in releases(stack).items():
            for need in {str(one.release) for one in release.needs} & set(releases(stack)):
                assert place[need][0] < place[name][0] or need in needed[name], (environment, name, need)


def test_flux_uninstalls_what_is_uninstalled_on_failure(
    both: tuple[Path, Path, Done], after: Mapping[str, Stack]
) -> None:
    policy = releases(after["dev"])["shop-system/cache"].on_failure
    assert policy == ("uninstall" if (both[0] / "gitops/flux").exists() else "keep")


def test_production_stays_manual(both: tuple[Path, Path, Done], request: pytest.FixtureRequest) -> None:
    settings = yaml.load((both[1] / "devtools.yaml").read_text(), yaml.CSafeLoader)
    assert settings["name"] == "imported"
    assert settings["gitops"]["repository"] == URL
    assert list(settings["gitops"]["environments"]) == ["dev", "production", "staging"]


def test_a_directory_with_files_is_left_alone(both: tuple[Path, Path, Done]) -> None:
    done = imported(both[0], "gitops", both[1])
    assert done.code == 2
    assert "exists and is not an empty directory" in done.err


@pytest.mark.parametrize("engine", ["argocd", "flux"])
def test_two_versions_of_one_chart(tmp_path: Path, engine: str) -> None:
    """Each environment's component names its version; extracted charts have a directory each; the import pins both."""
    root = make_shop(tmp_path / "shop")
    third_party = root / "charts/third_party"
    newer = files_of_archive((third_party / "acme" / ARCHIVE).read_bytes(), bool, "cache")
    newer["Chart.yaml"] = newer["Chart.yaml"].replace(b"1.2.3", b"1.3.0")
    archive = packed({f"cache/{name}": content for name, content in newer.items()})
    (third_party / "acme/cache/cache-1.3.0.tgz").write_bytes(archive)
    lock = third_party / "lock.yaml"
    entry = yaml.load(lock.read_text(), yaml.CSafeLoader)["charts"][0]
    second = {**entry, "version": "1.3.0", "sha256": hashlib.sha256(archive).hexdigest()}
    lock.write_text(yaml.safe_dump({"charts": [entry, second]}))
    layer = root / "layers/20-operators.yaml"
    assert run(root, engine=engine).code is ExitCode.CONFIG
    text = layer.read_text().replace("chart: acme/cache", "chart: acme/cache@1.2.3")
    layer.write_text(f"{text}  - {{name: cache-2, namespace: shop-system, chart: acme/cache@1.3.0}}\n")
    done = run(root, engine=engine, charts="extracted")
    assert done.code is ExitCode.OK, done.err
    for version in ("1.2.3", "1.3.0"):
        (chart,) = (root / "gitops").rglob(f"acme/cache-{version}/Chart.yaml")
        assert yaml.load(chart.read_text(), yaml.CSafeLoader)["version"] == version
    assert run(root, engine=engine).code is ExitCode.OK
    assert imported(root, "gitops", tmp_path / "imported").code is ExitCode.OK
    pinned = yaml.load((tmp_path / "imported/charts/third_party/lock.yaml").read_text(), yaml.CSafeLoader)["charts"]
    assert [item["version"] for item in pinned] == ["1.2.3", "1.3.0"]
    found = releases(stacks(tmp_path / "imported")["dev"])
    assert found["shop-system/cache-2"].chart.pin == "example/cache@1.3.0"
