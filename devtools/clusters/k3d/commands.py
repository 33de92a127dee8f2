"""The commands of k3d 5. `k3d.config` has the cluster configuration, `k3d.output` parses the output."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from devtools.clusters.k3d.config import Config, Registry, labelled
from devtools.process.runner import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class K3d:
    """One k3d program, isolated from the user's files.

    `cluster delete` edits the default kubeconfig, whatever the cluster was created with, and makes another context the
    current one. `home` receives the files that k3d would write to `~/.kube` and `~/.config/k3d`.
    """

    program: Path
    home: Path

    def create(self, config: Config) -> Command:
        """Create the cluster; its configuration, with its digest as a runtime label, is passed on stdin."""
        stdin = (json.dumps(labelled(config), indent=2) + "\n").encode()
        command = self._command("cluster", "create", "--config", "-", stdin=stdin, timeout=config.timeout + 30)
        return replace(command, cwd=config.directory)

    def start(self, config: Config) -> Command:
        """Start every stopped container of a cluster, its load balancer included."""
        words = ("cluster", "start", config.name, "--wait", "--timeout", f"{config.timeout}s")
        return self._command(*words, timeout=config.timeout + 30)

    def stop(self, name: str) -> Command:
        """Stop a cluster; stopping and starting also restores `host.k3d.internal` after a restart of Docker."""
        return self._command("cluster", "stop", name, timeout=120)

    def delete(self, name: str) -> Command:
        """Remove a cluster; not an error if it is absent."""
        return self._command("cluster", "delete", name, timeout=120)

    def list_clusters(self) -> Command:
        """List all clusters, without their tokens; a failure does not mean that there are none."""
        return self._command("cluster", "list", "-o", "json", timeout=120)

    def list_registries(self) -> Command:
        """List all registries of k3d."""
        return self._command("registry", "list", "-o", "json", timeout=120)

    def create_registry(self, registry: Registry) -> Command:
        """Create a registry that listens on 127.0.0.1."""
        port = f"127.0.0.1:{registry.port}"
        return self._command("registry", "create", registry.name, "--port", port, "--no-help", timeout=180)

    def delete_registry(self, registry: Registry) -> Command:
        """Remove a registry and its images; it is identified by its container's name."""
        return self._command("registry", "delete", registry.host, timeout=120)

    def start_node(self, name: str) -> Command:
        """Start a stopped container of k3d: a registry."""
        return self._command("node", "start", name, timeout=120)

    def import_images(self, cluster: str, images: tuple[str, ...], *, timeout: float) -> Command:
        """Copy images into every node by a tools container (`direct` can hang); success proves nothing (k3d#1484)."""
        words = ("image", "import", *images, "--cluster", cluster, "--mode", "tools-node")
        return self._command(*words, timeout=timeout)

    def get_kubeconfig(self, name: str) -> Command:
        """Print the cluster's kubeconfig; it contains a private key, so its output must not be logged."""
        return self._command("kubeconfig", "get", name, timeout=120)

    def _command(self, *words: str, timeout: float, stdin: bytes | None = None) -> Command:
        env = {"KUBECONFIG": str(self.home / "kubeconfig"), "XDG_CONFIG_HOME": str(self.home)}
        return Command(argv=(str(self.program), *words), env=env, stdin=stdin, timeout=timeout)
