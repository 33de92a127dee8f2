"""What the tests of exports for Flux share: kustomize, as kubectl has it, and the shop in every form."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents
from devtools.commands.gitops.export import Arguments, Made, export, make_export
from devtools.errors import ExitCode
from devtools.gitops.component import Component
from devtools.model import Stack
from tests.kits.verbs import Done, call

Build = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def kustomize(tool: Callable[[str], Path]) -> Build:
    """Build a directory: with DEVTOOLS_KUSTOMIZE if it is set, else with kubectl's kustomize."""
    own = os.environ.get("DEVTOOLS_KUSTOMIZE")
    argv = [own, "build"] if own else [str(tool("kubectl")), "kustomize"]

    def build(directory: Path, *flags: str) -> list[dict[str, Any]]:
        done = subprocess.run([*argv, *flags, str(directory)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(read_documents(done.stdout))

    return build


def run(root: Path, **typed: Any) -> Done:
    """Export with `--output json`."""
    environ = {"DEVTOOLS_CACHE": str(root.parent / "cache"), "DEVTOOLS_STATE": str(root.parent / "state")}
    arguments = Arguments(output="json", **{"engine": "flux", **typed})
    return call(lambda app: export(app, arguments), "json", environ=environ, cwd=root)


def components(root: Path) -> Mapping[str, tuple[Component, ...]]:
    """Return what an export is made of."""
    return _made(root).components


def stacks(root: Path) -> Mapping[str, Stack]:
    """Return the stack as each exported environment sees it."""
    return _made(root).stacks


def _made(root: Path) -> Made:
    found: list[Made] = []

    def read(app: Any) -> ExitCode:
        found.append(make_export(app, Arguments(engine="flux")))
        return ExitCode.OK

    call(read, "json", environ={"DEVTOOLS_CACHE": str(root.parent / "cache")}, cwd=root)
    return found[0]


def objects(directory: Path, kind: str = "") -> Iterator[dict[str, Any]]:
    """Yield the objects in the YAML files below a directory."""
    for path in sorted(directory.rglob("*.yaml")):
        for item in read_documents(path.read_bytes()):
            if kind in {"", item.get("kind")} and "metadata" in item:
                yield item


def values_of(release: dict[str, Any], built: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of a HelmRelease as helm-controller merges them: maps merge, everything else replaces."""
    maps = {(item["kind"], item["metadata"]["name"]): item for item in built}
    merged: dict[str, Any] = {}
    for source in release["spec"].get("valuesFrom", ()):
        text = maps[source["kind"], source["name"]]["data"][source["valuesKey"]]
        for item in read_documents(text):
            merged = _over(merged, item or {})
    return _over(merged, release["spec"].get("values", {}))


def _over(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
