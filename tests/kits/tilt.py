"""A small repository with layers, its specs, and its Tiltfile under the harness."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.clusters.provider import ProviderName
from devtools.commands.specs import specs
from devtools.errors import ExitCode
from devtools.tilt.harness import Loaded, TiltfileError, load_tiltfile
from tests.kits.stack import repository

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "devtools/tilt/infra.star"
TILTFILE = """\
load('.devtools/infra.star', 'app', 'infra_config', 'infra_layers', 'layer_button')
INFRA_LAYER_SPECS = read_json('.devtools/layer-specs.json', default={})
cfg = infra_config()
INFRA_CRITICAL_PATH = infra_layers(INFRA_LAYER_SPECS, layers=cfg.get('layers', []), env=cfg.get('env', ''))
"""
APPS = """\
k8s = blob('apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: web}\\n')
app('web', yaml=k8s)
app('api', yaml=blob('apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: api}\\n'), resource_deps=['web'])
"""
SCRIPT = "#!/bin/sh\nexit 0\n"


def layer(stage: str, *needs: str, name: str = "", more: str = "") -> str:
    """A layer file with one release, called like its stage."""
    release = f"  - {{name: {name or stage}, namespace: x, chart: platform/web, needs: [{', '.join(needs)}]}}\n"
    return f"stage: {stage}\n{more}releases:\n{release}"


THREE: Mapping[str, str] = {
    "layers/10-base.yaml": layer("base"),
    "layers/20-core-operators.yaml": layer("operators", "x/base", more="alias: 20-operators\n"),
    "layers/40-data.yaml": layer("data"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """A repository on this disk."""

    root: Path
    provider: ProviderName = "k3d"
    env: Mapping[str, str] = field(default_factory=dict)

    def app(self, environment: str = "") -> App:
        environ = {"PATH": os.environ["PATH"], "DEVTOOLS_STATE": str(self.root / "state"), **self.env}
        environ["DEVTOOLS_PROVIDER"] = self.provider
        return App(environ=environ, cwd=self.root, out=io.StringIO(), err=io.StringIO(), environment=environment)

    def specs(self, environment: str = "", **options: Any) -> tuple[str, str]:
        """`invoke specs`: what it printed on stdout and stderr."""
        app = self.app(environment)
        assert specs(app, Options(**options)) is ExitCode.OK
        assert isinstance(app.out, io.StringIO)
        assert isinstance(app.err, io.StringIO)
        return app.out.getvalue(), app.err.getvalue()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, *args: str, **surroundings: Any) -> Loaded:
        """Evaluate its Tiltfile."""
        return load_tiltfile(self.root / "Tiltfile", args=args, **surroundings)

    def refusal(self, *args: str, **surroundings: Any) -> str:
        """Why its Tiltfile does not load."""
        try:
            self.load(*args, **surroundings)
        except TiltfileError as error:
            return error.message
        raise AssertionError("it loads")


def made(
    root: Path,
    files: Mapping[str, str] = THREE,
    tiltfile: str = TILTFILE + APPS,
    *,
    proto: bool = True,
    provider: ProviderName = "k3d",
) -> Repo:
    """A repository with these layers, its specs written."""
    more = {"scripts/buf-build-push.sh": SCRIPT} if proto else {}
    repository(root, {"devtools.yaml": "name: demo\n", "Tiltfile": tiltfile, **more, **files})
    repo = Repo(root=root, provider=provider)
    repo.specs()
    return repo


def layers_of(loaded: Loaded) -> list[str]:
    """The layers' resources, in the order they run."""
    return [name for name in loaded.order() if name.startswith("infra:")]


PYTHON = sys.executable
