"""What stands for a k3d cluster: real containers of a real engine as nodes, in which a real ctr talks to a containerd.

k3d itself is played by a script. Containers of the engine may not be privileged everywhere, so containerd runs beside
them, one for each node, and the container has its socket at the usual place.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.clusters.ctr import Ctr, OnNode, parse_images
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner
from tests.kits.stack import write
from tests.kits.waiting import eventually

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NODES = ("k3d-t-server-0", "k3d-t-agent-0")
_CONFIG = """version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{home}/run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
"""
# As k3d 5.9 prints a list, and what its import does: save, then import on every node. MODE says how it fails.
_K3D = """#!/bin/sh
echo "$*" >>{home}/k3d.log
mode=$(cat {home}/mode)
case "$1 $2" in
"cluster list") cat {home}/clusters.json ;;
"image import")
    [ "$mode" != hang ] || exec sleep 600
    echo 'INFO[0000] Importing image(s) into cluster'
    [ "$mode" != lie ] || {{ echo 'ERRO[0001] failed to import images in node' >&2; exit 0; }}
    shift 2
    images=
    while [ "${{1#--}}" = "$1" ]; do images="$images $1"; shift; done
    docker save --output {home}/k3d.tar $images
    for node in {nodes}; do
        ctr --address {home}/$node/run/containerd.sock --namespace k8s.io images import {home}/k3d.tar
    done
    echo 'INFO[0002] Successfully imported image(s)' ;;
esac
"""
_RUNS = '"State": {"Running": true, "Status": "running"}'
_LIST = f"""[{{"name": "t", "serversRunning": 1, "serversCount": 1, "agentsRunning": 1, "agentsCount": 1, "nodes": [
  {{"name": "k3d-t-serverlb", "role": "loadbalancer", {_RUNS}}}, {{"name": "k3d-t-agent-0", "role": "agent", {_RUNS}}},
  {{"name": "k3d-t-server-0", "role": "server", {_RUNS}}}]}}]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Two nodes, the engine they are containers of, and the script that plays k3d."""

    home: Path
    docker_host: str

    @property
    def k3d(self) -> Path:
        return self.home / "k3d"

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": PATH, "HOME": str(self.home), "DOCKER_HOST": self.docker_host}

    def mode(self, word: str) -> None:
        write(self.home, {"mode": word, "clusters.json": _LIST})

    def printed(self) -> list[str]:
        """What k3d was asked since the last look."""
        log = self.home / "k3d.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def run(self, *argv: str | Path) -> Result:
        runner = SubprocessRunner(self.environ, Cancel())
        result = runner.run(Command(argv=tuple(map(str, argv)), timeout=300))
        assert result.ok, (argv, result.stderr)
        return result

    def has(self, node: str, image: str) -> OnNode | None:
        """An independent look: at the node's containerd, not through the engine."""
        ctr = Ctr(socket=self.home / node / "run" / "containerd.sock")
        return parse_images(self.run(*ctr.list()).stdout).get(image)

    def forget(self, node: str, image: str) -> None:
        ctr = Ctr(socket=self.home / node / "run" / "containerd.sock")
        self.run(*ctr.list()[:-1], "rm", "--sync", image)


@contextmanager
def nodes(home: Path, docker_host: str) -> Iterator[Nodes]:
    """Two running nodes; skips, and is counted, without containerd."""
    if not all(shutil.which(program, path=PATH) for program in ("containerd", "ctr", "docker", "busybox")):
        pytest.skip("no containerd, docker or busybox: apt-get install containerd docker.io busybox-static")
    made = Nodes(home=home, docker_host=docker_host)
    write(
        home,
        {"k3d": _K3D.format(home=home, nodes=" ".join(NODES)), "node/Dockerfile": "FROM scratch\nCOPY busybox /\n"},
    )
    made.k3d.chmod(0o755)
    made.mode("well")
    shutil.copy(shutil.which("busybox", path=PATH) or "", home / "node" / "busybox")
    made.run("docker", "build", "--tag", "node:1", home / "node")
    with ExitStack() as stack:
        for node in NODES:
            stack.enter_context(_containerd(home / node))
            usr = [word for path in ("/usr", "/lib", "/lib64") for word in ("--volume", f"{path}:{path}:ro")]
            flags = ("--detach", "--network", "host", "--name", node, "--env", f"PATH={PATH}")
            socket_at = ("--volume", f"{home / node / 'run'}:/run/containerd")
            made.run("docker", "run", *flags, *usr, *socket_at, "node:1", "/busybox", "sleep", "3600")
            stack.callback(made.run, "docker", "rm", "--force", node)
        yield made


@contextmanager
def _containerd(home: Path) -> Iterator[None]:
    """One containerd with its CRI plugin, as a kubelet would find it."""
    write(home, {"config.toml": _CONFIG.format(home=home)})
    (home / "run").mkdir(exist_ok=True)
    cancel = Cancel()
    runner = SubprocessRunner({"PATH": PATH}, cancel)
    command = Command(argv=("containerd", "--config", str(home / "config.toml"), "--log-level", "error"))
    thread = threading.Thread(target=runner.run, args=(command,), daemon=True)
    thread.start()
    try:
        eventually(lambda: _answers(home / "run" / "containerd.sock"), reported=lambda: "containerd does not start")
        yield
    finally:
        cancel.set("the tests are over")
        thread.join(60)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
