"""The session that the parts of one run share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.run_context.durations import Durations

if TYPE_CHECKING:
    from devtools.errors import DevtoolsError
    from devtools.events import Bus
    from devtools.helm.commands import Helm
    from devtools.kube.client import Kube
    from devtools.model import Release, ReleaseId
    from devtools.process.runner import Cancel, Runner
    from devtools.readiness.observer import Observer
    from devtools.readiness.wait import Wait
    from devtools.redaction import Redactor
    from devtools.run_context.slots import Slots


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run against one cluster.

    `slots` limits how many helm processes render at once; a step that only waits holds none. `real_node` is None if
    every node is real, otherwise the name of the only real one, empty if there is none. `bug` turns an unexpected
    exception into an error for users, and stores its traceback.
    """

    kube: Kube
    find_helm: Callable[[], Helm]
    runner: Runner
    bus: Bus
    cancel: Cancel
    slots: Slots
    root: Path  # root of the repository, in which commands run
    hook_env: Mapping[str, str]
    values: Mapping[ReleaseId, Mapping[str, Any]]  # merged, as Helm gets them
    real_node: str | None
    bug: Callable[[Exception], DevtoolsError]
    origin: str = "local"  # names this machine and state directory in `devtools.helm.ownership`
    durations: Durations = field(default_factory=Durations)  # of earlier runs
    retest: bool = True  # run tests of layers in which nothing changed, too
    test: bool = True
    sync: bool = True

    @cached_property
    def helm(self) -> Helm:
        """The command builder, made at the first use; raises EnvironmentFault if helm is not available."""
        return self.find_helm()

    @property
    def redactor(self) -> Redactor:
        """Hides secrets in everything that the run prints or writes."""
        return self.bus.redactor

    @cached_property
    def observer(self) -> Observer:
        """The observer that all parts use, so that they share its lists."""
        from devtools.readiness.observer import Observer

        return Observer(self.kube)

    def wait_for(self, release: Release, timeout: float = 0.0) -> Wait:
        """Return a wait of this many seconds (default: the release's timeout) that emits what it waits for."""
        from devtools.events import StepWaiting
        from devtools.readiness.wait import Wait

        deadline = time.monotonic() + (timeout or release.timeout)

        def say(what: str) -> None:
            left = round(max(deadline - time.monotonic(), 0.1), 1)
            self.bus.emit(StepWaiting(release=str(release.id), layer=release.layer, what=what, left=left))

        return Wait(deadline=deadline, say=say, cancel=self.cancel)

    def warn(self, release: Release, line: str) -> None:
        """Emit a warning about a release."""
        self.bus.warn(line, str(release.id))
