"""What the real Tilt makes of some hundred Tiltfiles, and the harness, too; see tests/cases/tiltfiles/README.md."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.tilt.harness import Loaded, Resource, Step, TiltfileError, load_tiltfile
from devtools.tilt.harness.images import parse_reference
from tests.kits.tilt import ROOT
from tests.tilt import real

DATA = ROOT / "tests/cases/tiltfiles"
RECORDED = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
CASES: Mapping[str, Any] = RECORDED["cases"]
LISTED = yaml.load((DATA / "differences.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
OTHER_PROGRAMS = ("docker_compose", "helm", "load ext")  # what Tilt makes of these depends on more than Tilt
ASKED = [name for name in list(CASES)[::15] if not name.startswith(OTHER_PROGRAMS)]
RESOURCE = {
    "resource_deps": [],
    "labels": [],
    "enabled": True,
    "cmd": [],
    "serve_cmd": [],
    "deps": [],
    "trigger_mode": "auto",
    "auto_init": True,
    "allow_parallel": False,
    "links": [],
    "port_forwards": [],
    "images": [],
}


@pytest.mark.parametrize("name", CASES)
def test_the_harness_agrees_with_tilt(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    directory = written(tmp_path / "w", case)
    ours, theirs = outcome(directory, case), expected(case["tilt"])
    differing = {key for key in (*ours, *theirs) if ours.get(key) != theirs.get(key)}
    listed = set(LISTED["cases"].get(name, {}).get("differs", ()))
    shown = {key: (ours.get(key), theirs.get(key)) for key in sorted(differing ^ listed)}
    assert differing == listed, f"ours and Tilt's, where they differ unlisted or no longer differ: {shown}"


def test_every_listed_difference_is_of_a_case_and_documented() -> None:
    page = (ROOT / "docs/tilt.md").read_text(encoding="utf-8")
    assert LISTED["cases"].keys() <= CASES.keys()
    assert {entry["reason"] for entry in LISTED["cases"].values()} == LISTED["reasons"].keys()
    for text in LISTED["reasons"].values():
        assert text in page


@pytest.mark.parametrize("name", ASKED if shutil.which("tilt") else ["no tilt"])
def test_tilt_still_says_what_was_recorded(tmp_path: Path, name: str) -> None:
    if name == "no tilt":
        pytest.skip("no tilt on PATH: docs/real-programs.md")
    case = CASES[name]
    directory = written(tmp_path / "w", case)
    found = real.load(directory, *case.get("args", ()), **case.get("env", {}))
    assert (found.code == 0) == case["tilt"]["loads"], found.err
    if case["tilt"]["loads"]:
        assert found.manifests.keys() == case["tilt"].get("resources", {}).keys()
    else:
        last = [line for line in found.err.splitlines() if line.strip()][-1]
        assert shortened(last.rstrip(), directory) == case["tilt"]["error"]


def written(directory: Path, case: Mapping[str, Any]) -> Path:
    """Write a case's files."""
    for name, text in {"Tiltfile": case["tiltfile"], **case.get("files", {})}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORDED["files"][text.removeprefix("=")] if text.startswith("=") else text, encoding="utf-8")
    return directory


def expected(tilt: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was recorded, with what is left out where it is the default."""
    if not tilt["loads"]:
        return dict(tilt)
    resources = {name: {**RESOURCE, **item} for name, item in tilt.get("resources", {}).items()}
    return {"loads": True, "resources": resources, "log": tilt.get("log", [])}


def outcome(directory: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate a case, and return the same of it as was recorded."""
    try:
        loaded = load_tiltfile(
            directory / "Tiltfile",
            args=case.get("args", ()),
            env=case.get("env", {}),
            namespace="",
            subcommand="alpha tiltfile-result",
            local=run,
            render=render,
        )
    except TiltfileError as error:
        last = [line for line in error.message.splitlines() if line.strip()][-1].rstrip()
        return {"loads": False, "error": shortened(last, directory)}
    resources = {resource.name: described(resource, directory) for resource in loaded.resources}
    return {"loads": True, "resources": resources, "log": logged(loaded, directory)}


def described(resource: Resource, directory: Path) -> dict[str, Any]:
    """Return what is recorded of a resource."""
    local = resource.kind == "local"
    return {
        "kind": resource.kind,
        "resource_deps": sorted(resource.resource_deps),
        "labels": sorted(resource.labels),
        "enabled": resource.enabled,
        "cmd": command(resource.cmd, directory) if local else [],
        "serve_cmd": command(resource.serve_cmd, directory),
        "deps": sorted(shortened(path, directory) for path in resource.deps) if local else [],
        "trigger_mode": resource.trigger_mode,
        "auto_init": resource.auto_init,
        "allow_parallel": resource.allow_parallel,
        "links": list(resource.links),
        "port_forwards": list(resource.port_forwards),
        "images": sorted(parse_reference(image).familiar for image in resource.images),
    }


def command(words: Sequence[str] | str, directory: Path) -> list[str]:
    return [shortened(word, directory) for word in (["sh", "-c", words] if isinstance(words, str) else words)]


def logged(loaded: Loaded, directory: Path) -> list[str]:
    """Return the lines that Tilt would log, sorted."""
    lines = [line.rstrip() for text in (*loaded.output, *loaded.warnings) for line in text.splitlines()]
    return sorted(shortened(line, directory) for line in lines if line)


def shortened(text: str, directory: Path) -> str:
    return text.replace(str(directory), "$DIR").replace(str(directory.parent), "$DIR/..")


def run(words: tuple[str, ...] | str) -> str:
    argv = ["sh", "-c", words] if isinstance(words, str) else list(words)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}")
    return done.stdout


def render(call: Step) -> str:
    """What helm makes of these charts: their templates have no template in them."""
    files = sorted((Path(call.values["chart"]) / "templates").glob("*.yaml"))
    return "---\n".join(file.read_text(encoding="utf-8") for file in files)
