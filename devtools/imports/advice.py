"""Names the features of helmfile that a layer file lacks, and what to do instead: the tables of advice.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file

_TABLES: Mapping[str, Any] = read_map(read_file(Path(__file__).with_suffix(".yaml")))
NOT_CARRIED: Mapping[str, str] = _TABLES["not_carried"]
CARRIED_EVENTS: Mapping[str, tuple[str, str]] = _TABLES["carried_events"]
HOOK_EVENTS: Mapping[str, str] = _TABLES["hook_events"]
SECRETS: str = _TABLES["secrets"]
