"""The program over Argo CD's libraries, where it is built."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from devtools.errors import EnvironmentFault
from devtools.process.runner import Cancel, SubprocessRunner
from devtools.toolchain.chain import Toolchain

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def preview_program() -> Path:
    """argocd-preview; building it takes minutes, so tests do without it where it is not there."""
    cancel = Cancel()
    toolchain = Toolchain(
        cache=Path(os.environ.get("DEVTOOLS_CACHE") or platformdirs.user_cache_path("ameide-devtools")),
        runner=SubprocessRunner(os.environ, cancel),
        path=os.environ["PATH"],
        sources=ROOT / "tools",
        cancel=cancel,
    )
    try:
        return toolchain.path("argocd-preview")
    except EnvironmentFault as error:
        pytest.skip(f"{error.message}: invoke gitops.preview builds it")
