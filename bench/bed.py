"""What a benchmark runs on: a cluster that can be made anew, the peers' programs, a directory for everything."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.measure import Sample, run
from bench.peers import Item, Target, helmfile_yaml, loop_script, write_values, xargs_script
from devtools.app.environment import App
from devtools.clusters.embedded.provider import KwokProvider
from devtools.model import Plan, ReleaseId
from devtools.planning.plan import Selection
from devtools.project import Project, Request

ROOT = Path(__file__).parent.parent
CLUSTER = "bench"
OURS, SYNC, APPLY, LOOP, XARGS = "devtools", "helmfile sync", "helmfile apply", "helm loop", "helm xargs"
REVIEWED = "devtools plan --diff + up"  # as `helmfile apply`: first what will change, then the change


@dataclass(kw_only=True)
class Bed:
    """Everything below `work`, which nothing else uses; `say` gets the progress."""

    work: Path
    say: Callable[[str], None]
    diff: Path | None = None  # a directory of Helm plugins with helm-diff in it
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)

    @cached_property
    def app(self) -> App:
        """The app of this repository, with a state of its own."""
        return self.app_of(ROOT)

    def app_of(self, root: Path) -> App:
        """The app as in another repository."""
        return App(environ=self.env, cwd=root, out=sys.stdout, err=sys.stderr)

    @cached_property
    def env(self) -> dict[str, str]:
        """Of every command: this machine's, with our cluster, and no update check of helmfile's."""
        dropped: tuple[str, ...] = ("KUBECONFIG", "HELM_", "DEVTOOLS_CLUSTER", "DEVTOOLS_STATE", "DEVTOOLS_PROVIDER")
        # Without bytecode every run would compile the package anew, which no user's run does.
        dropped = (*dropped, "PYTHONDONTWRITEBYTECODE")
        own = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        homes = {f"HELM_{name}_HOME": str(self.work / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        plugins = {"HELM_PLUGINS": str(self.diff)} if self.diff else {}
        return {
            **own,
            **homes,
            **plugins,
            "DEVTOOLS_CLUSTER": CLUSTER,
            "DEVTOOLS_PROVIDER": "kwok",
            "DEVTOOLS_STATE": str(self.work / "state"),
            "HELMFILE_UPGRADE_NOTICE_DISABLED": "true",
            "HELM_DIFF_USE_UPGRADE_DRY_RUN": "true",
        }

    @cached_property
    def _provider(self) -> KwokProvider:
        """Simulated nodes only: a kubelet has no part in what is compared."""
        return KwokProvider(
            CLUSTER,
            runner=self.app.runner,
            tool=self.app.toolchain.path,
            state=self.work / "state" / "clusters" / CLUSTER,
            nodes=self.app.settings.cluster.nodes,  # else the run that is measured finds them changed
            stages=tuple(sorted(self.app.settings.simulation.glob("*.yaml"))),
            real_node="off",
        )

    def fresh(self) -> Target:
        """An empty cluster, whatever was there before."""
        self._provider.delete(_nothing)
        shutil.rmtree(self.work / "state" / "durations", ignore_errors=True)  # as if these releases never ran
        cluster = self._provider.ensure(_nothing)
        return Target(helm=self.helm, kubeconfig=cluster.kubeconfig, context=cluster.context)

    def forget(self) -> None:
        """Take the cluster away."""
        self._provider.delete(_nothing)

    @cached_property
    def helm(self) -> Path:
        """The helm that everybody uses."""
        return self.app.toolchain.path("helm")

    @cached_property
    def helmfile(self) -> Path:
        """The helmfile of the toolchain, built if it is missing."""
        self.app.toolchain.ensure(("helmfile",), self.say)
        return self.app.toolchain.path("helmfile")

    def items(self, root: Path, where: Path, *, layer: str = "") -> tuple[Item, ...]:
        """The releases of a repository (or of one layer) as the peers get them: same charts, values and edges."""
        plan, values = _plan(self.app_of(root), layer)
        inside = {step.id for step in plan.steps if step.release.installed}
        return tuple(
            Item(
                name=step.id.name,
                namespace=step.id.namespace,
                chart=packed(step.release.chart.path, where / "charts"),
                values=write_values(where / "values", str(step.id), values[step.id]),
                needs=tuple(str(need) for need in step.needs if need in inside),
            )
            for step in plan.steps
            if step.id in inside
        )

    def commands(self, items: Sequence[Item], target: Target, where: Path) -> dict[str, tuple[str, ...]]:
        """How each peer is started for these releases."""
        where.mkdir(parents=True, exist_ok=True)
        files = {
            "helmfile.yaml": helmfile_yaml(items, target.context),
            "loop.sh": loop_script(items, target),
            "xargs.sh": xargs_script(items, target, where / "levels", self.cores),
        }
        for name, text in files.items():
            (where / name).write_text(text, "utf-8")
        helmfile = (str(self.helmfile), "--helm-binary", str(target.helm), "-f", str(where / "helmfile.yaml"))
        return {
            SYNC: (*helmfile, "sync", "--skip-deps"),
            **({APPLY: (*helmfile, "apply", "--skip-deps")} if self.diff else {}),
            LOOP: ("sh", str(where / "loop.sh")),
            XARGS: ("sh", str(where / "xargs.sh")),
        }

    def measure(self, argv: Sequence[str], cwd: Path, target: Target | None = None) -> Sample:
        """Run a command and wait for it."""
        env = {**self.env, **({"KUBECONFIG": str(target.kubeconfig)} if target else {})}
        return run(argv, cwd=cwd, env=env, log=self.work / "commands.log")

    def settle(self) -> None:
        """Let the control plane finish what the run before left it to do."""
        time.sleep(1.0)


def ours(*words: str) -> tuple[str, ...]:
    """A task as typed."""
    return (str(ROOT / ".venv" / "bin" / "invoke"), *words)


def reviewed() -> tuple[str, ...]:
    """Show what will change, then change it."""
    invoke = str(ROOT / ".venv" / "bin" / "invoke")
    return ("sh", "-c", '"$0" plan --diff && exec "$0" up --no-test', invoke)


def packed(chart: Path, where: Path) -> Path:
    """A chart's archive: of a directory a packed one, so that helmfile need not build dependencies."""
    if chart.is_file():
        return chart
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"{chart.name}.tgz"
    if not path.exists():
        with tarfile.open(path, "w:gz") as archive:
            archive.add(chart, arcname=chart.name)
    return path


def _plan(app: App, layer: str) -> tuple[Plan, Mapping[ReleaseId, Mapping[str, Any]]]:
    """The plan for an empty cluster (or one layer's part of it), and every release's merged values."""
    project = Project(app)
    stack = project.stack()
    selection = Selection(layers=tuple(item.name for item in stack.layers))
    planned = project.plan(Request(command="bench", stack=stack, selection=selection), None)
    steps = tuple(step for step in planned.plan.steps if layer in {"", step.release.layer})
    return replace(planned.plan, steps=steps), planned.inputs.values


def _nothing(_: str) -> None:
    pass
