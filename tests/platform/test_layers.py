"""What the layers declare: all thirteen, in order, each plan as written down, nothing that was retired."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from devtools.app.environment import App
from devtools.config.stack import load_stack
from devtools.errors import ConfigError
from devtools.model import Action, Facts, Stack
from devtools.planning.plan import Selection, make_plan
from devtools.report.tables import layers_json, layers_lines, show_document
from tests.platform.support import ENVIRONMENTS, HERE, ROOT, load

LAYERS = [
    "10-bootstrap",
    "12-crds",
    "15-secrets-certificates",
    "18-coredns-config",
    "20-core-operators",
    "22-control-plane",
    "24-auth",
    "40-data-plane",
    "42-db-migrations",
    "45-data-plane-ext",
    "50-product-services",
    "55-observability",
    "60-qa",
]
ALIASES = {"15-secrets-certificates": "15-secrets-certs", "20-core-operators": "20-operators"}
# Put together from halves, so that this file itself has no trace of them.
RETIRED = ["verda" + "ccio", "dev" + "pi", "athe" + "ns"]


def stack_of(app: App, environment: str) -> Stack:
    return load_stack(app.settings, environment, app.charts)


def written(stack: Stack) -> str:
    """The plan on an empty cluster: a line for each step, in order, with what it waits for or why it is left out."""
    digests = {release.id: "0" for layer in stack.layers for release in layer.releases if release.installed}
    plan = make_plan(stack, Selection(layers=tuple(layer.name for layer in stack.layers)), Facts(), digests)
    lines = []
    for step in plan.steps:
        release = step.release
        line = f"{release.layer:<24} {step.action.value:<10} {release.id}"
        if step.action is Action.INSTALL:
            needs = sorted(str(need) for need in step.needs)
            line += f"  <- {', '.join(needs)}" if needs else ""
        else:
            line += f"  ({release.disabled_by.split(' (', maxsplit=1)[0]})"
        lines.append(line)
    return "\n".join(lines) + "\n"


def test_all_thirteen_are_there(app: App) -> None:
    layers = stack_of(app, "local").layers
    assert [layer.name for layer in layers] == LAYERS
    assert {layer.name: layer.alias for layer in layers if layer.alias} == ALIASES


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_labels_equal_the_files(environment: str, app: App) -> None:
    for layer in stack_of(app, environment).layers:
        for release in layer.releases:
            assert (release.labels["layer"], release.labels["stage"]) == (layer.name, layer.stage)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_plan_is_the_one_written_down(environment: str, app: App) -> None:
    """`PLANS=write` writes it anew: look at the difference before you commit it."""
    file = HERE / "plans" / f"{environment}.txt"
    observed = written(stack_of(app, environment))
    if os.environ.get("PLANS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(observed)
    assert observed == file.read_text()


def test_product_services_need_nothing(app: App) -> None:
    layer = next(layer for layer in stack_of(app, "local").layers if layer.name == "50-product-services")
    assert not [release.id for release in layer.releases if release.needs]
    assert [release.name for release in layer.releases if release.installed] == ["meta-noop"]


def test_migrations_are_local(app: App) -> None:
    installed = {
        environment: [
            release.installed
            for layer in stack_of(app, environment).layers
            if layer.name == "42-db-migrations"
            for release in layer.releases
        ]
        for environment in ENVIRONMENTS
    }
    assert installed == {"local": [True], "dev": [False], "staging": [False], "production": [False]}


def switches() -> set[str]:
    """The keys that the layers name."""
    return {
        line.split("installed: ")[1].strip()
        for file in (ROOT / "layers").glob("[0-9]*.yaml")
        for line in file.read_text().splitlines()
        if "installed: " in line and not line.strip().startswith("#")
    }


def test_every_switch_is_used_and_every_environment_has_it(app: App) -> None:
    """A switch that nothing names is a typo; one that an environment lacks would stop it."""
    named = switches()
    for environment in ENVIRONMENTS:
        flat = set()
        for key, value in stack_of(app, environment).environment.values.items():
            for name, switch in value.items():
                flat |= {f"{key}.{name}"} if isinstance(switch, bool) else {f"{key}.{name}.{part}" for part in switch}
        assert flat == named, environment


def test_what_was_retired_stays_out() -> None:
    assert not [file.name for number in range(25, 29) for file in (ROOT / "layers").glob(f"{number}-*")]
    words = [word for name in RETIRED for word in ("-e", name)]
    found = subprocess.run(
        ["git", "grep", "-il", *words, "--", "layers", "charts", "environments", "simulation", "scripts", "devtools"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert Path(ROOT / "layers").is_dir()


def flipped(tmp_path: Path, switch: str) -> App:
    """This repository with one switch of `local` the other way round."""
    tmp_path.mkdir(exist_ok=True)
    for name in ("layers", "charts", "simulation", "devtools.yaml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "environments", tmp_path / "environments")
    top, *rest = switch.split(".")
    for file in (tmp_path / "environments" / "local").rglob("*.yaml"):
        data = load(file)
        if file.parent.name not in ("local", "platform") or top not in data or rest[0] not in data[top]:
            continue
        if len(rest) == 1:
            data[top][rest[0]] = not data[top][rest[0]]
        else:
            data[top][rest[0]]["installed"] = not data[top][rest[0]]["installed"]
        file.write_text(yaml.safe_dump(data))
    return App(environ={"HOME": str(tmp_path)}, cwd=tmp_path, out=sys.stdout, err=sys.stderr)


# Switch → the releases that it is for; the third word is whether turning it over switches them on.
SWITCHES: list[tuple[str, set[str], bool]] = [
    ("productServices.installViaHelmfile", {"workflow-runtime", "inference", "web", "jobs"}, True),
    ("releases.vault-secrets-argocd.installed", {"vault-secrets-argocd"}, True),
    ("releases.vault.installed", {"vault"}, False),
    ("releases.secrets-smoke.installed", {"secrets-smoke"}, False),
    ("releases.coredns-config.installed", {"coredns-config"}, False),
    ("releases.gitlab-operator.installed", {"gitlab-operator"}, False),
    ("releases.tekton-operator.installed", {"tekton-operator"}, False),
    ("releases.coredns.installed", {"coredns"}, False),
    ("releases.minio.installed", {"minio"}, False),
    ("releases.neo4j.installed", {"neo4j"}, False),
    ("releases.temporal.installed", {"temporal"}, False),
    ("releases.langfuse.installed", {"langfuse", "langfuse-bootstrap"}, False),
]
# Switching these off alone would take away what others need: who says so first.
NEEDED = {
    "releases.cert-manager.installed": "cert-manager/cert-manager",
    "releases.external-secrets.installed": "external-secrets/external-secrets",
    "releases.vault-secrets.installed": "ameide/vault-secrets",
}


@pytest.mark.parametrize(("switch", "releases", "on"), SWITCHES)
def test_a_switch_switches(switch: str, releases: set[str], on: bool, tmp_path: Path, app: App) -> None:  # noqa: FBT001
    before = {release.name: release for layer in stack_of(app, "local").layers for release in layer.releases}
    after = {
        release.name: release
        for layer in stack_of(flipped(tmp_path, switch), "local").layers
        for release in layer.releases
    }
    changed = {name for name in before if before[name].installed != after[name].installed}
    assert changed == releases
    off = before if on else after
    for name in releases:
        assert off[name].disabled_by.startswith(f"{switch}: false (environments/local/"), off[name].disabled_by
    assert is_refused(stack_of(app, "local") if on else stack_of(flipped(tmp_path / "b", switch), "local")) >= {
        (name, switch) for name in releases
    }


def is_refused(stack: Stack) -> set[tuple[str, str]]:
    """What `invoke layers` says is off, and by which key."""
    out = io.StringIO()
    show_document(layers_json(stack, None), layers_lines, "text", out, {})
    rows = re.sub(r"\n {4,}", " ", out.getvalue())
    return set(re.findall(r"(?m)^ +\S*?([\w-]+) +disabled .*?disabled by ([\w.-]+): false", rows))


@pytest.mark.parametrize(("switch", "needed"), NEEDED.items())
def test_what_others_need_is_not_switched_off_alone(switch: str, needed: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        stack_of(flipped(tmp_path, switch), "local")
    printed = [problem.message for problem in refused.value.problems]
    assert printed
    assert all(needed in message and f"{switch}: false" in message for message in printed), printed


def test_every_switch_is_tried() -> None:
    assert {switch for switch, _, _ in SWITCHES} | set(NEEDED) == switches()
