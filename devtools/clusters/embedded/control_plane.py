"""The embedded control plane: real etcd, kube-apiserver, controller-manager, scheduler, and kwok as the kubelets."""

from __future__ import annotations

import io
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.open_file import opened
from devtools.clusters.embedded import cleanup
from devtools.clusters.embedded.layout import Layout, Ports, Subnet
from devtools.clusters.embedded.names import COMPONENTS, KWOK, SIMULATED_KUBELET
from devtools.clusters.external_program import named
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.kube.client import Kube
from devtools.kube.kubeconfig import read_credentials
from devtools.process.runner import Cancel, Command, Result, Runner
from devtools.process.waiting import wait_until

WAIT = 60.0  # seconds until it must answer
_STARTED_IN = 30.0  # seconds until a started component must be visible
TAIL = 5  # lines of a log to show
SERVER_NAMES = (
    *("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Creates and starts one control plane with kwokctl, and checks its health."""

    layout: Layout
    runner: Runner
    tool: Callable[[str], Path]
    cancel: Cancel

    def create(self, ports: Ports, subnet: Subnet) -> None:
        """Create and start it; raises EnvironmentFault with the reason that kwokctl or a component reports."""
        from devtools.clusters.embedded import kwokctl, pki

        server_names = ("127.0.0.1", subnet.host, kwokctl.SERVICE_ADDRESS, *SERVER_NAMES)
        pki.create(self.layout.pki, server_names=server_names, kubelet_names=("127.0.0.1", subnet.node))
        config = kwokctl.config(api_port=ports.api, advertise=subnet.host, pki=self.layout.pki)
        self.layout.config.write_text(config)
        binaries = {name: self.tool(name) for name in kwokctl.BINARIES}
        self._run(kwokctl.create(self.tool("kwokctl"), self.layout, binaries, WAIT), "create")
        self._finish("create", ports)

    def start(self, ports: Ports) -> None:
        """Start it again with etcd's data."""
        self._forget(COMPONENTS)  # after a reboot other processes may have their numbers
        self._run_start()
        self._finish("start", ports)

    def stop(self) -> None:
        """Stop it; etcd's data stays."""
        from devtools.clusters.embedded import kwokctl

        self._run(kwokctl.stop(self.tool("kwokctl"), self.layout), "stop")

    def revive(self) -> None:
        """Start components that ended: the controller manager gives up if the API server takes more than 10 s."""

        def missing() -> list[str]:
            return [name for name in self._missing(cleanup.processes(self.layout)) if name != SIMULATED_KUBELET]

        if ended := missing():
            self._forget(ended)
            self._run_start()
            wait_until(lambda: not missing(), _STARTED_IN, self.cancel)  # components exec a moment after fork

    def restart_kwok(self) -> None:
        """Restart kwok, which lists every Stage when it starts.

        Later ones may reach it seconds late or never: while the CRD of Stages is new, its watch fails and is repeated
        with growing delays, and it does not look again at an object for which no Stage was known.
        """
        cleanup.end_processes(self.layout, lambda name: name == KWOK)
        self.revive()

    def kube(self, retry_for: float = 0.0) -> Kube:
        """Return a client of its API server."""
        return Kube(self.layout.kubeconfig, self.layout.context, self.cancel, retry_for)

    def problem(self, running: Iterable[cleanup.Process]) -> str:
        """Return what is broken, as a sentence; empty if every component runs and can be reached."""
        if missing := self._missing(running):
            verb = "is" if len(missing) == 1 else "are"
            return f"{' and '.join(missing)} of cluster {self.layout.name} {verb} not running"
        return ""

    @staticmethod
    def _missing(running: Iterable[cleanup.Process]) -> list[str]:
        """Return the components that are not among the processes."""
        names = {process.name for process in running}
        return [name for name in COMPONENTS if name not in names]

    def _forget(self, names: Iterable[str]) -> None:
        """Remove kwokctl's notes of these processes: it takes a zombie for a running one."""
        for name in names:
            (self.layout.plane / "pids" / f"{name}.pid").unlink(missing_ok=True)

    def damage(self, ports: Ports) -> str:
        """Return the kubeconfig's fault, as a sentence; empty if it leads to the API server."""
        try:
            credentials = read_credentials(self.layout.kubeconfig, self.layout.context)
        except EnvironmentFault as error:
            return error.message
        if credentials.server == ports.server and credentials.certificate and credentials.key and credentials.ca:
            return ""
        return f"kubeconfig {self.layout.kubeconfig} does not lead to {ports.server} as its administrator"

    def write_kubeconfig(self, ports: Ports) -> None:
        """Write the kubeconfig."""
        from devtools.clusters.embedded.kwokctl import kubeconfig

        text = kubeconfig(self.layout.context, ports.server, self.layout.pki)
        write_whole(self.layout.kubeconfig, text, mode=0o600)

    def unready(self, kube: Kube) -> str:
        """Return why the API server does not report itself ready, as a sentence; empty if it does."""
        try:
            answer = "".join(kube.lines("/readyz"))
        except DevtoolsError as error:
            return f"the API server of cluster {self.layout.name} is not ready: {error.message}"
        return "" if answer == "ok" else f"the API server of cluster {self.layout.name} is not ready: {answer[:80]!r}"

    def _run_start(self) -> None:
        """Start the components that do not run."""
        from devtools.clusters.embedded import kwokctl

        self._run(kwokctl.start(self.tool("kwokctl"), self.layout, WAIT), "start")

    def _run(self, command: Command, what: str) -> None:
        """Run kwokctl; its failure is an EnvironmentFault."""
        from devtools.clusters.external_program import Program

        program = Program(runner=self.runner, name="kwokctl", reason=self._reason)
        program.run(command, f"{what} cluster {self.layout.name}")

    def _reason(self, result: Result) -> str:
        """Return kwokctl's errors, and those in the logs of components."""
        from devtools.clusters.embedded.kwokctl import messages
        from devtools.clusters.external_program import last_line

        words = messages(result.stdout + result.stderr) or (last_line(result),)
        return f"{words[0]}{self.last_words()}"

    def _finish(self, what: str, ports: Ports) -> None:
        """Start the simulated kubelet and check every component: kwokctl succeeds even if its waiting timed out."""
        program = named(Path(sys.executable), self.layout.state / "bin" / SIMULATED_KUBELET)
        script = Path(__file__).with_name("simulated_kubelet.py")
        argv = (str(program), "-I", "-S", str(script), str(ports.kubelet), str(self.layout.pki))
        command = Command(argv=argv, env=self.layout.env)
        self.runner.spawn(command, self.layout.plane / "logs" / f"{SIMULATED_KUBELET}.log")
        self.write_kubeconfig(ports)
        if reason := self.unready(self.kube()):
            raise EnvironmentFault(f"cannot {what} cluster {self.layout.name}: {reason}{self.last_words()}")

    def last_words(self) -> str:
        """Return the last errors of the components' logs, for a message that must be self-contained."""
        found = []
        for log in sorted((self.layout.plane / "logs").glob("*.log")):
            with io.TextIOWrapper(opened(log), errors="backslashreplace") as lines:
                errors = deque((line.rstrip() for line in lines if _ERROR.search(line)), maxlen=1)
            found += [f"\n  {log.stem}: {line[:300]}" for line in errors]
        return "".join(found[:TAIL])


_ERROR = re.compile(r"^[EF]\d{4} |\"level\":\"(error|fatal|panic|ERROR)\"|^Error: |^panic: ")
