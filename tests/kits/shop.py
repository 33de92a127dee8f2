"""The fixture stack of the GitOps tests, as a repository of its own: `python -m tests.kits.shop DIRECTORY`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "tests" / "gitops" / "shop"


def make_shop(directory: Path) -> Path:
    """Copy the stack into a directory, with the smoke chart of this repository."""
    shutil.copytree(SHOP, directory, dirs_exist_ok=True)
    smoke = "charts/platform/helm-test-jobs"
    shutil.copytree(ROOT / smoke, directory / smoke, dirs_exist_ok=True)
    (directory / "tasks.py").write_text("from devtools.tasks import namespace\n")
    return directory


if __name__ == "__main__":
    make_shop(Path(sys.argv[1]))
