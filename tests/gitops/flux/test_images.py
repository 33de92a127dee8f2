"""Image automation: its objects, and the markers that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.errors import ExitCode
from tests.gitops.flux.conftest import objects, run
from tests.kits.shop import make_shop

MARKER = '# {"$imagepolicy": "flux-system:api-app:tag"}'


def make(tmp_path: Path, images: str) -> Path:
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    settings.write_text(f"{settings.read_text()}  images:\n    - {images}\n")
    return root


def test_an_image_has_repository_policy_and_automation(tmp_path: Path) -> None:
    shop = make(tmp_path, "{image: registry.example.com/app, release: api, value: image.tag, semver: 1.x}")
    done = run(shop)
    assert done.code is ExitCode.OK
    specs = {item["kind"]: item["spec"] for item in objects(shop / "gitops/flux/dev") if "image" in item["apiVersion"]}
    assert specs["ImageRepository"]["image"] == "registry.example.com/app"
    assert specs["ImagePolicy"]["policy"] == {"semver": {"range": "1.x"}}
    assert specs["ImageUpdateAutomation"]["update"] == {"path": "./environments/dev", "strategy": "Setters"}
    assert specs["ImageUpdateAutomation"]["git"]["push"] == {"branch": "main"}
    assert not (shop / "gitops/flux/production/images.yaml").exists()


def test_a_field_without_its_marker_is_a_note_until_it_has_one(tmp_path: Path) -> None:
    shop = make(tmp_path, "{image: registry.example.com/app, release: api, value: image.tag, semver: 1.x}")

    def noted() -> set[str]:
        return {note["component"] for note in run(shop).document["notes"] if MARKER in note["message"]}

    assert noted() == {"dev/shop/api", "staging/shop/api"}
    for name in ("dev", "staging"):
        overlay = shop / f"environments/{name}/40-apps/api.yaml"
        overlay.write_text(f"replicas: 1\nimage:\n  tag: 1.4.0 {MARKER}\n")
    assert noted() == set()


def test_a_manual_environment_gets_a_branch_for_review(tmp_path: Path) -> None:
    pattern = "'^main-(?P<order>[0-9]+)$'"
    image = (
        f"{{image: example.com/app, release: api, value: image.tag, pattern: {pattern}, environments: [production]}}"
    )
    shop = make(tmp_path, image)
    run(shop)
    specs = {item["kind"]: item["spec"] for item in objects(shop / "gitops/flux/production")}
    assert specs["ImageUpdateAutomation"]["git"]["push"] == {"branch": "image-updates-production"}
    assert specs["ImagePolicy"]["filterTags"] == {"pattern": "^main-(?P<order>[0-9]+)$", "extract": "$order"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("{image: a/b, release: api, value: image.tag}", "takes exactly one of semver and pattern"),
        ("{image: a/b, release: api, value: image.tag, pattern: '.*'}", "'pattern' has no group 'order'"),
        ("{image: 'a/b:1', release: api, value: image.tag, semver: 1.x}", "devtools.yaml:10:8: 'image' must be"),
    ],
)
def test_mistakes(tmp_path: Path, keys: str, message: str) -> None:
    done = run(make(tmp_path, keys))
    assert (done.code, message in done.err) == (ExitCode.CONFIG, True), done.err
