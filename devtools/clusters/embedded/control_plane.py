"""The embedded control plane: real etcd, kube-apiserver, controller-manager, scheduler, and kwok as the kubelets."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.clusters.embedded.cleanup import Process
from devtools.clusters.embedded.layout import Layout
from devtools.clusters.embedded.names import COMPONENTS
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.kube.client import Kube
from devtools.process.runner import Cancel, Command, Result, Runner

if TYPE_CHECKING:
    from devtools.clusters.embedded import kwokctl

WAIT = 60.0  # seconds for it to answer
TAIL = 5  # lines of a log worth showing


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Makes and starts one control plane by kwokctl, and looks after its health."""

    layout: Layout
    runner: Runner
    tool: Callable[[str], Path]
    cancel: Cancel

    def create(self, *, ports: tuple[int, ...], advertise: str, bind: str) -> None:
        """Make and start it; raises EnvironmentFault with the reason kwokctl or a component gives."""
        from devtools.clusters.embedded import kwokctl  # noqa: PLC0415 - only who starts it

        home = self._home()
        home.workdir.mkdir(parents=True)
        settings = kwokctl.Settings(
            ports=ports,
            bind=bind,
            advertise=advertise,
            pki=self.layout.plane / "pki",
        )
        home.config.write_text(kwokctl.config(settings))
        binaries = {name: self.tool(name) for name in kwokctl.BINARIES}
        self._run(kwokctl.create(home, binaries, WAIT), "create")
        self._finish("create")

    def start(self) -> None:
        """Start it again with what etcd holds."""
        from devtools.clusters.embedded import kwokctl  # noqa: PLC0415 - only who starts it

        home = self._home()
        for note in (self.layout.plane / "pids").glob("*.pid"):
            note.unlink()  # of dead processes: after a reboot their numbers may be others'
        self._run(kwokctl.start(home, WAIT), "start")
        self._finish("start")

    def stop(self) -> None:
        """Stop it; etcd's data stays."""
        from devtools.clusters.embedded import kwokctl  # noqa: PLC0415 - see create

        self._run(kwokctl.stop(self._home()), "stop")

    def kube(self, retry_for: float = 0.0) -> Kube:
        """A client of its API server."""
        return Kube(self.layout.kubeconfig, self.layout.context, self.cancel, retry_for)

    def problem(self, running: Iterable[Process]) -> str:
        """What is broken, in a sentence; empty when every component runs and can be reached."""
        names = {process.name for process in running}
        missing = [name for name in COMPONENTS if name not in names]
        if missing:
            return f"{' and '.join(missing)} of cluster {self.layout.name} {_is(missing)} not running"
        if not self.layout.kubeconfig.is_file():
            return f"the kubeconfig of cluster {self.layout.name} is gone"
        return ""

    def unready(self, kube: Kube) -> str:
        """Why the API server does not call itself ready, in a sentence; empty when it does."""
        try:
            answer = "".join(kube.lines("/readyz"))
        except DevtoolsError as error:
            return f"the API server of cluster {self.layout.name} is not ready: {error.message}"
        return "" if answer == "ok" else f"the API server of cluster {self.layout.name} says {answer[:80]!r}"

    def _home(self) -> kwokctl.Home:
        """For kwokctl; its paths are absolute because it changes directory."""
        from devtools.clusters.embedded import kwokctl  # noqa: PLC0415 - see create

        return kwokctl.Home(
            kwokctl=self.tool("kwokctl"),
            name=self.layout.name,
            workdir=self.layout.workdir,
            config=self.layout.state / "kwokctl.json",
            kubeconfig=self.layout.kubeconfig,
            env=self.layout.env,
        )

    def _run(self, command: Command, what: str) -> None:
        """Run kwokctl, with its errors as ours."""
        from devtools.clusters.programs import Program  # noqa: PLC0415 - see create

        program = Program(runner=self.runner, name="kwokctl", reason=self._reason)
        program.run(command, f"{what} cluster {self.layout.name}")

    def _reason(self, result: Result) -> str:
        """What kwokctl says, and the components whose logs say more."""
        from devtools.clusters.embedded.kwokctl import messages  # noqa: PLC0415
        from devtools.clusters.programs import last_line  # noqa: PLC0415 - see create

        said = messages(result.stdout + result.stderr) or (last_line(result),)
        return f"{said[0]}{self.last_words()}"

    def _finish(self, what: str) -> None:
        """Kwokctl ends well even when its waiting did not."""
        if reason := self.unready(self.kube()):
            raise EnvironmentFault(f"cannot {what} cluster {self.layout.name}: {reason}{self.last_words()}")
        os.chmod(self.layout.kubeconfig, 0o600)  # noqa: PTH101 - it holds the way to an administrator's key

    def last_words(self) -> str:
        """The last errors of the components' logs, for a message that has to stand alone."""
        found = []
        for log in sorted((self.layout.plane / "logs").glob("*.log")):
            with log.open(errors="backslashreplace") as lines:
                errors = deque((line.rstrip() for line in lines if _ERROR.search(line)), maxlen=1)
            found += [f"\n  {log.stem}: {line[:300]}" for line in errors]
        return "".join(found[:TAIL])


_ERROR = re.compile(r"^[EF]\d{4} |\"level\":\"(error|fatal|panic|ERROR)\"|^Error: |^panic: ")


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
