"""What the parts of one run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from devtools.clients.kube import Kube
from devtools.process import Cancel, Runner
from devtools.run.events import Bus
from devtools.run.observer import Observer
from devtools.stack.model import ReleaseId
from devtools.tools.helm import Helm


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run against one cluster.

    `slots` bounds how many helm processes render at once; who only waits holds none. `private` is a directory of
    mode 0700 for values files. `real_node` is None where every node is real, else the name of the only one that
    is, empty where none is.
    """

    kube: Kube
    observer: Observer
    helm: Helm
    runner: Runner
    bus: Bus
    cancel: Cancel
    slots: BoundedSemaphore
    private: Path
    root: Path  # of the repository: where hooks run
    hook_env: Mapping[str, str]
    values: Mapping[ReleaseId, Mapping[str, Any]]  # merged, as Helm gets them
    real_node: str | None
    retest: bool = True  # run tests of layers in which nothing changed, too
    test: bool = True
    sync: bool = True
