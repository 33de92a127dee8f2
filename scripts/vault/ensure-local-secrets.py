#!/usr/bin/env python3
"""Seed a local Vault with the secrets that the platform reads; `--help` says how."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"

sys.path.insert(0, str(ROOT / "scripts"))
try:
    from platform_hooks.main import seed_vault
except ImportError:
    # Started by a Python that does not have this checkout: the checkout has one that does.
    if not PYTHON.exists() or Path(sys.prefix) == PYTHON.parents[1]:
        sys.exit("error: this checkout is not set up\n  hint: type scripts/up")
    os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - no shell is wanted

if __name__ == "__main__":
    sys.exit(seed_vault(sys.argv[1:], os.environ, ROOT, lambda line: print(line, flush=True)))
