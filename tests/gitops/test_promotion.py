"""`invoke gitops.promote` and `invoke gitops.rollback`, with real git and helm."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.commands.gitops import export
from devtools.commands.promotion import promote, rollback
from devtools.errors import ExitCode
from devtools.gitops.promotion import edits
from tests.kits.git import ENVIRON, commit, git
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

STAGING = "environments/staging/40-apps/api.yaml"
COMMENTED = "# of staging\nreplicas: 2  # two\nhosts: [api.staging.example.com]\nimage: {tag: 1.3.2} # pinned\n"


@pytest.fixture
def shop(tmp_path: Path, tool: Callable[[str], Path]) -> Path:
    tool("helm")
    root = make_shop(tmp_path / "shop")
    (root / STAGING).write_text(COMMENTED)
    commit(root)
    return root


def run(shop: Path, verb: Callable[..., Any], typed: Any) -> Done:
    environ = {**ENVIRON, "DEVTOOLS_STATE": str(shop.parent / "state"), "HOME": str(Path.home())}
    return call(lambda app: verb(app, typed), typed.output, environ=environ, cwd=shop)


def promoted(shop: Path, components: str = "api", target: str = "staging", output: str = "json", **typed: Any) -> Done:
    arguments = promote.Arguments(components=components, target=target, output=output, **typed)
    return run(shop, promote.promote, arguments)


def rolled_back(shop: Path, components: str, environment: str, output: str = "json", **typed: Any) -> Done:
    arguments = rollback.Arguments(components=components, environment=environment, output=output, **typed)
    return run(shop, rollback.rollback, arguments)


def exported(shop: Path, **typed: Any) -> None:
    assert run(shop, export.export, export.Arguments(**typed)).code is ExitCode.OK


def images(done: Done) -> list[tuple[str, str]]:
    return [
        (field["before"], field["after"])
        for release in done.document["effect"]["releases"]
        for item in release["objects"]
        for field in item["fields"]
        if field["path"].endswith(".image")
    ]


def test_an_image_is_promoted_on_a_branch_and_comments_stay(shop: Path) -> None:
    done = promoted(shop, source="dev", only="images")
    assert (done.code, done.document["branch"]) == (ExitCode.OK, "promote/staging/api")
    assert done.document["changes"] == [f"{STAGING}: image.tag: 1.3.2 → 1.4.0"]
    assert images(done) == [("registry.example.com/app:1.3.2", "registry.example.com/app:1.4.0")]
    assert git(shop, "show", f"promote/staging/api:{STAGING}") + "\n" == COMMENTED.replace("1.3.2", '"1.4.0"')
    assert git(shop, "log", "-1", "--format=%s", "promote/staging/api") == "Promote api from dev to staging"
    assert git(shop, "diff", "--name-only", "main", "promote/staging/api") == STAGING
    assert git(shop, "status", "--porcelain") == ""
    assert len(git(shop, "worktree", "list").splitlines()) == 1


def test_values_are_promoted_and_what_only_the_target_sets_stays(shop: Path) -> None:
    (shop / STAGING).write_text(COMMENTED + "level: debug\nextra: 1\n")
    dev = shop / "environments/dev/40-apps/api.yaml"
    dev.write_text(dev.read_text() + "debug: null\nweights: {a: 1, b: [x]}\nlevel: warn\n")
    commit(shop)
    done = promoted(shop, only="values")
    assert done.code is ExitCode.OK, done.err
    text = git(shop, "show", f"promote/staging/api:{STAGING}")
    assert "hosts: [api.dev.example.com]" in text
    for line in ("# of staging", "image: {tag: 1.3.2} # pinned", "debug: null", "level: warn", "extra: 1", "  a: 1"):
        assert line in text


def test_a_dry_run_and_nothing_to_do_make_no_branch(shop: Path) -> None:
    assert promoted(shop, dry_run=True).document["branch"] == ""
    assert promoted(shop, components="web").document["changes"] == []
    assert git(shop, "branch", "--format=%(refname:short)") == "main"


def test_a_new_overlay_is_in_the_exported_component(shop: Path) -> None:
    exported(shop)
    (shop / "environments/dev/40-apps/web.yaml").write_text("replicas: 4\n")
    exported(shop, environments=("dev",))
    commit(shop)
    done = promoted(shop, components="web", only="values")
    component = git(shop, "show", "promote/staging/web:gitops/environments/staging/components/apps/web/component.yaml")
    assert "- environments/staging/40-apps/web.yaml" in component
    assert done.document["effect"]["counts"]["upgrade"] == 1


def bump_chart(shop: Path) -> None:
    """Pin another version of a chart, which is not vendored yet, and export it to dev only."""
    lock = shop / "charts/third_party/lock.yaml"
    text = re.sub(r"sha256: .*", "sha256: null", lock.read_text())
    lock.write_text(text.replace("1.2.3", "1.3.0"))
    (shop / "charts/third_party/acme/cache/cache-1.2.3.tgz").unlink()


def test_a_chart_is_promoted_with_its_export_and_rolled_back(shop: Path) -> None:
    exported(shop)
    commit(shop)
    bump_chart(shop)
    commit(shop)
    refused = promoted(shop, components="cache", only="chart")
    assert refused.code is ExitCode.CONFIG
    assert "dev itself does not have it yet" in refused.err
    exported(shop, environments=("dev",))
    commit(shop)
    done = promoted(shop, components="cache", only="chart")
    file = "gitops/environments/staging/components/operators/cache/component.yaml"
    assert done.document["changes"] == [f"{file}: chart 1.2.3 → 1.3.0"], done.err
    git(shop, "merge", "--quiet", "--ff-only", "promote/staging/cache")
    back = rolled_back(shop, "cache", "staging")
    assert back.code is ExitCode.OK, back.err
    assert "1.2.3" in git(shop, "show", f"rollback/staging/cache:{file}")
    git(shop, "checkout", "--quiet", "rollback/staging/cache")
    exported(shop, environments=("staging",))  # the manifest takes the restored file for ours


def test_a_rollback_restores_what_the_last_commit_changed(shop: Path) -> None:
    before = git(shop, "show", f"HEAD:{STAGING}")
    promoted(shop)
    git(shop, "merge", "--quiet", "--ff-only", "promote/staging/api")
    (shop / "README.md").write_text("later\n")
    commit(shop, "something else")
    done = rolled_back(shop, "api", "staging")
    assert done.document["branch"] == "rollback/staging/api"
    assert git(shop, "show", f"rollback/staging/api:{STAGING}") == before
    assert images(done) == [("registry.example.com/app:1.4.0", "registry.example.com/app:1.3.2")]
    assert "later" in git(shop, "show", "rollback/staging/api:README.md")


def test_a_rollback_to_a_ref_removes_an_overlay_that_came_later(shop: Path) -> None:
    (shop / "environments/staging/40-apps/web.yaml").write_text("replicas: 4\n")
    commit(shop)
    done = rolled_back(shop, "web", "staging", to_ref="HEAD~1")
    assert (
        git(shop, "diff", "--name-status", "main", done.document["branch"])
        == "D\tenvironments/staging/40-apps/web.yaml"
    )


def test_the_first_revision_is_not_rolled_back(shop: Path) -> None:
    exported(shop)
    commit(shop)
    for component in ("web", "stock"):
        done = rolled_back(shop, component, "dev", "text")
        assert done.code is ExitCode.CONFIG
        assert "has no earlier revision in dev" in done.err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"target": "production", "source": "dev"}, "is promoted from 'staging', not from 'dev'"),
        ({"target": "dev"}, "environment 'dev' is not promoted from another one"),
        ({"target": "stagign"}, "environment 'stagign' is not exported"),
        ({"target": ""}, "--to is missing"),
        ({"only": "everything"}, "--only is 'everything'"),
        ({"components": "apii"}, "unknown release 'apii'"),
        ({"components": ""}, "no component is named"),
        ({"components": "cache", "target": "production"}, "is not installed in production"),
        ({"branch": "a..b"}, "'a..b' is not a branch name"),
        ({"branch": "main"}, "branch main exists already"),
    ],
)
def test_what_cannot_be_promoted_is_refused(shop: Path, typed: dict[str, str], message: str) -> None:
    done = promoted(shop, **{"output": "text", **typed})
    assert done.code is ExitCode.CONFIG
    assert message in done.err
    assert git(shop, "branch", "--format=%(refname:short)") == "main"


@pytest.mark.parametrize(
    "values",
    [
        "db: {url: 'postgres://user:c4n4ry-of-the-store@db.example.com/shop'}",
        "env: [{name: DB_PASSWORD, value: c4n4ry-of-the-store}]",
        "args: [--password, c4n4ry-of-the-store]",
        "settings: 'password=c4n4ry-of-the-store'",
        "users: [{name: admin, password: c4n4ry-of-the-store}]",
        "auth: {tokens: [c4n4ry-of-the-store]}",
    ],
)
def test_a_secret_within_a_value_is_not_shown_or_committed(values: str) -> None:
    data = yaml.load(values, yaml.CSafeLoader)
    nothing: dict[str, Any] = {}
    texts = dict.fromkeys(data, "x")
    for source, target in ((data, nothing), (data, texts), (texts, data)):
        shown = " ".join(map(str, edits(source, target, source, ("values", "images"))))
        assert "***" in shown
        assert "c4n4ry" not in shown


def test_nothing_is_made_through_a_link_out_of_the_repository(shop: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(shop / "environments/staging")
    (shop / "environments/staging").symlink_to(outside)
    commit(shop)
    done = promoted(shop, output="text")
    assert done.code is not ExitCode.OK
    assert "a link points outside the repository" in done.err
    assert list(outside.iterdir()) == []


def test_an_encrypted_overlay_and_a_secret_are_not_shown(shop: Path) -> None:
    canary = "c4n4ry-of-the-store"
    dev = shop / "environments/dev/40-apps/web.yaml"
    dev.write_text(f"auth: {{password: {canary}}}\n")
    commit(shop)
    for output in ("text", "json"):
        done = promoted(shop, components="web", output=output, dry_run=True)
        assert done.code is ExitCode.OK
        assert "auth.password: ***" in done.out
        assert canary not in done.out + done.err
    promoted(shop, components="web")
    assert canary not in git(shop, "log", "-1", "--format=%B", "promote/staging/web")
    dev.write_text("auth: ENC[AES256_GCM,data:x]\nsops: {version: 3.9.0}\n")
    commit(shop)
    done = promoted(shop, components="web", output="text", dry_run=True)
    assert done.code is ExitCode.CONFIG
    assert "web.yaml:2:1: an encrypted overlay cannot be promoted" in done.err
