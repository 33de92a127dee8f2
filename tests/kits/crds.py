"""Official CRDs in the directory that DEVTOOLS_CRDS names; see docs/real-programs.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

WHERE = "DEVTOOLS_CRDS"
DIRECTORY = Path(os.environ.get(WHERE) or "/dev/null")
needs_crds = pytest.mark.skipif(
    not DIRECTORY.is_dir(), reason=f"no official CRDs: see {WHERE} in docs/real-programs.md"
)
