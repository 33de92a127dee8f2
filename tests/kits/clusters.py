"""Clusters of these tests' own, and an independent look at what a cluster has on the machine."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import psutil

from devtools.clusters.embedded.layout import Layout
from devtools.clusters.embedded.provider import KwokProvider
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner

Tool = Callable[[str], Path]


@dataclass(kw_only=True)
class Machine:
    """One embedded cluster and everything a test needs to look at it and hurt it."""

    tool: Tool
    root: Path
    name: str = field(default_factory=lambda: f"u{uuid4().hex[:8]}")
    stages: tuple[Path, ...] = ()
    nodes: int = 1
    lines: list[str] = field(default_factory=list)
    cancel: Cancel = field(default_factory=Cancel)

    @property
    def layout(self) -> Layout:
        return Layout(name=self.name, state=(self.root / self.name).resolve())

    def provider(self, *, real: Literal["auto", "off"] = "off", nodes: int | None = None) -> KwokProvider:
        return KwokProvider(
            self.name,
            runner=SubprocessRunner({"PATH": os.environ["PATH"]}, self.cancel),
            tool=self.tool,
            state=self.layout.state,
            nodes=self.nodes if nodes is None else nodes,
            stages=self.stages,
            real_node=real,
            is_root=os.geteuid() == 0,
            cancel=self.cancel,
        )

    def say(self, line: str) -> None:
        self.lines.append(line)

    def run(self, *argv: str | Path, stdin: str = "", timeout: float = 300) -> Result:
        runner = SubprocessRunner({"PATH": os.environ["PATH"], "HOME": str(self.root)}, Cancel())
        return runner.run(Command(argv=tuple(map(str, argv)), stdin=stdin.encode(), timeout=timeout))

    def kubectl(self, *words: str, stdin: str = "") -> str:
        result = self.run(self.tool("kubectl"), "--kubeconfig", self.layout.kubeconfig, *words, stdin=stdin)
        assert result.ok, result.stderr
        return result.stdout

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def pids(self, name: str) -> list[int]:
        """Processes of this cluster by the file name of their program."""
        return [pid for pid, argv in self.processes().items() if argv and Path(argv[0]).name == name]

    def processes(self) -> dict[int, list[str]]:
        """Its living processes, found by what /proc says of them: environment, words, control group."""
        found = {}
        words = (str(self.layout.state), self.layout.key)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                base = Path(f"/proc/{process.pid}")
                text = "".join((base / part).read_text("utf-8", "replace") for part in ("environ", "cmdline", "cgroup"))
                if any(word in text for word in words):
                    found[process.pid] = process.cmdline()
        return found

    def traces(self) -> dict[str, object]:
        """Everything it has on this machine; empty when it has nothing."""
        words = (str(self.layout.state), self.layout.key)
        mounts = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(w in line for w in words)
        ]
        found = {
            "processes": self.processes(),
            "mounts": mounts,
            "link": self.layout.veth in psutil.net_if_addrs(),
            "cgroups": [
                at for at, below, _ in os.walk("/sys/fs/cgroup") if self.layout.cgroup in below
            ],  # others come and go
            "runtime": self.layout.runtime.exists(),
            "state": self.layout.state.exists(),
        }
        return {key: value for key, value in found.items() if value}
