"""The real Tilt, for the tests that need it: docs/real-programs.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NEEDS_TILT = pytest.mark.skipif(shutil.which("tilt") is None, reason="no tilt on PATH: docs/real-programs.md")


def need_tilt() -> None:
    """Skip the whole module, counted once, if there is no Tilt."""
    if shutil.which("tilt") is None:
        pytest.skip("no tilt on PATH: docs/real-programs.md", allow_module_level=True)


QUIET = {"TILT_DISABLE_ANALYTICS": "1", "DO_NOT_TRACK": "1", "TILT_CLOUD_ADDRESS": "localhost:9"}


def environment(home: Path) -> dict[str, str]:
    """Tilt's environment: a HOME of the test's own, no kubeconfig, and no helm on PATH."""
    bin_directory = home / "bin"
    bin_directory.mkdir(parents=True, exist_ok=True)
    link = bin_directory / "tilt"
    if not link.is_symlink():
        link.symlink_to(shutil.which("tilt") or "")
    directories = (path for path in ("/usr/bin", "/bin") if not os.access(f"{path}/helm", os.X_OK))
    path = ":".join((str(bin_directory), *directories))
    return {"PATH": path, "HOME": str(home), "KUBECONFIG": "/nonexistent", **QUIET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `tilt alpha tiltfile-result` makes of a Tiltfile."""

    code: int
    err: str  # what the load logs
    enabled: tuple[str, ...]
    manifests: Mapping[str, Mapping[str, Any]]

    def command(self, name: str) -> list[str]:
        """The command of a local resource."""
        return list(self.manifests[name]["DeployTarget"]["UpdateCmdSpec"]["args"])


def load(root: Path, *args: str, **environ: str) -> Result:
    """Load the Tiltfile of a repository with the real Tilt."""
    argv = [
        "tilt",
        "alpha",
        "tiltfile-result",
        "--verbose",
        "-f",
        str(root / "Tiltfile"),
        *(("--", *args) if args else ()),
    ]
    env = {**environment(root / "home"), **environ}
    done = subprocess.run(argv, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=300)
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    return Result(
        code=done.returncode,
        err=done.stderr,
        enabled=tuple(found.get("EnabledManifests") or ()),
        manifests={item["Name"]: item for item in found.get("Manifests") or ()},
    )
