"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import Any

from devtools.toolchain.versions import TOOLS


def machine() -> dict[str, Any]:
    """CPU model, cores, memory, kernel, versions, load, and when."""
    return {
        "cpu": _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 2**20, 1),
        "kernel": platform.release(),
        "system": platform.system(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {
            "python": platform.python_version(),
            **{item.name: item.version for item in TOOLS if item.name in {"helm", "kube-apiserver", "etcd", "kwok"}},
        },
    }


def _first(pattern: str, file: str) -> str:
    try:
        found = re.search(pattern, Path(file).read_text("utf-8"))
    except OSError:
        return ""
    return found[1].strip() if found else ""
