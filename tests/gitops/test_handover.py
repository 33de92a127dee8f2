"""An environment that a controller deploys is not written to from a laptop."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.app.exit_codes import Verb
from devtools.app.options import Options
from devtools.commands import runs
from devtools.commands.review import drift
from devtools.errors import ExitCode
from tests.kits.shop import make_shop
from tests.kits.verbs import Done, call

COMMANDS: dict[str, Verb] = {
    "up": lambda app: runs.up(app, Options()),
    "layer": lambda app: runs.layer(app, "40", Options()),
    "layer --only-test": lambda app: runs.layer(app, "40", Options(sync=False)),
    "down": lambda app: runs.down(app, Options()),
    "drift --fix": lambda app: drift.drift(app, "", Options(), fix=True),
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    settings.write_text(settings.read_text().replace("dev: {", "dev: {controller: argocd, "))
    return root


def run(shop: Path, verb: Verb, environment: str = "dev") -> Done:
    environ = {
        "DEVTOOLS_ENVIRONMENT": environment,
        "DEVTOOLS_PROVIDER": "kwok",
        "DEVTOOLS_CLUSTER": "handed-over",
        "DEVTOOLS_CACHE": str(shop.parent / "cache"),
        "DEVTOOLS_STATE": str(shop.parent / "state"),
    }
    return call(verb, "text", environ=environ, cwd=shop)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_write_is_refused_and_says_who_owns_the_environment(shop: Path, command: str) -> None:
    done = run(shop, COMMANDS[command])
    assert done.code is ExitCode.CONFIG
    assert "devtools.yaml:6:11: environment 'dev' is deployed by Argo CD" in done.err
    assert "--force-local" in done.err
    assert not (shop / ".devtools").exists()
    assert not (shop.parent / "state").exists()


@pytest.mark.parametrize("verb", [
    pytest.param(lambda app: runs.up(app, Options(dry_run=True)), id="up --dry-run"),
    pytest.param(lambda app: runs.up(app, Options(dry_run=True, diff=True)), id="up --dry-run --diff"),
])  # fmt: skip
def test_looking_is_not_refused(shop: Path, verb: Verb) -> None:
    done = run(shop, verb)
    assert "is deployed by" not in done.err


@pytest.mark.parametrize(
    ("environment", "options"),
    [("staging", Options()), ("dev", Options(force_local=True))],
    ids=["no controller", "--force-local"],
)
def test_other_environments_and_the_flag_go_on(shop: Path, environment: str, options: Options) -> None:
    done = run(shop, lambda app: runs.layer(app, "40", options), environment)
    assert done.code is ExitCode.ENVIRONMENT, done.err  # there is no cluster
    assert "there is no cluster handed-over" in done.err


def test_the_command_that_goes_on_keeps_the_flag() -> None:
    from devtools.app.options import command_line

    assert command_line("up", Options(force_local=True), "dev") == "up --env dev --force-local"
