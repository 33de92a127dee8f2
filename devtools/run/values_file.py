"""A release's merged values in a file for helm, which nobody else can read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.errors import EnvironmentFault
from devtools.stack.model import ReleaseId


def values_file(directory: Path, release: ReleaseId, values: Mapping[str, Any]) -> Path:
    """Write them below `directory`, mode 0600, as JSON, which is YAML; EnvironmentFault where the disk refuses."""
    path = directory / f"{release.namespace}_{release.name}.json"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            json.dump(values, sink)
    except OSError as error:
        path.unlink(missing_ok=True)
        said = f"cannot write the values for helm: {error.strerror}"
        raise EnvironmentFault(said, hint=f"make room in {path.parent.parent}") from error
    return path
