"""An existing cluster: a context that devtools.yaml allows; devtools never creates or removes such a cluster."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from stat import S_ISREG
from typing import Any

import yaml

from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import read_yaml, yaml_text
from devtools.base.open_file import read_file
from devtools.clusters.copies import remove_stale, use
from devtools.clusters.provider import Cluster, ClusterAbsent, ClusterStatus, Progress
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault
from devtools.kube.api_errors import FORBIDDEN, Tolerated
from devtools.kube.client import Kube
from devtools.process.runner import Cancel

Sources = Sequence[tuple[Path, Mapping[str, Any]]]  # kubeconfig files and their content
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, eq=False)
class ContextProvider:
    """One context of the user's kubeconfig files; its parts are copied to a kubeconfig of devtools."""

    name: str  # of the context
    _: KW_ONLY
    allowed: tuple[str, ...]
    kubeconfigs: tuple[Path, ...]  # of KUBECONFIG or ~/.kube/config; the first one wins
    state: Path
    root: Path = Path()  # the repository whose devtools.yaml allows contexts
    cancel: Cancel = field(default_factory=Cancel)

    def ensure(self, progress: Progress) -> Cluster:  # noqa: ARG002 - the protocol's
        """Return the cluster after its API server has answered; raises EnvironmentFault if it does not."""
        cluster = self.find()
        Kube(cluster.kubeconfig, self.name, self.cancel, retry_for=0.0).version()
        self.remove_stale_copies()
        return cluster

    def find(self) -> Cluster:
        """See `Provider`; raises ConfigError if the context is not allowed, or none is named."""
        try:
            return self._find()
        except DevtoolsError:
            self.remove_stale_copies()
            raise

    def remove_stale_copies(self) -> None:
        """Remove unused copies, of clusters of any name, because they contain credentials."""
        remove_stale(self.state.parent, self.root.absolute(), self.allowed, _directory_name)

    def _find(self) -> Cluster:
        if not self.name:
            hint = "cluster: {provider: context, context: NAME} and allowed_contexts: [NAME]"
            raise ConfigError("provider context needs a context, and devtools.yaml names none", hint=hint)
        if self.name not in self.allowed:
            message = f"context {self.name} may not be written to (allowed: {', '.join(self.allowed) or 'none'})"
            raise ConfigError(message, hint=f"add {self.name} to allowed_contexts in devtools.yaml")
        own, text = self._copy()
        try:
            lock = use(own.parent, self.name, self.root.absolute(), self.kubeconfigs)
            weakref.finalize(self, os.close, lock)
            write_whole(own, text, mode=0o600)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {own}: {error.strerror}") from error
        return Cluster(name=self.name, provider="context", context=self.name, kubeconfig=own)

    def kubeconfig(self) -> Path:
        """Return the path to which `find` writes its copy; one that is never written if `find` would refuse."""
        try:
            return self._copy()[0]
        except DevtoolsError:
            return self.state / "kubeconfig"

    def _copy(self) -> tuple[Path, str]:
        """Return the copy's path and its content; raises EnvironmentFault.

        Each cluster has its own file, whatever its context is called, so that a run under way keeps its cluster. New
        credentials do not make another cluster.
        """
        name, text = _named_copy(self.name, self.kubeconfigs)
        return self.state / name / "kubeconfig", text

    def status(self) -> ClusterStatus:
        """See `Provider`."""
        found = ClusterStatus(name=self.name, provider="context", state="absent", context=self.name)
        try:
            cluster = self.find()
        except DevtoolsError as error:
            return replace(found, problem=error.message, hint=error.hint)
        found = replace(found, kubeconfig=cluster.kubeconfig)
        kube = Kube(cluster.kubeconfig, self.name, self.cancel, retry_for=0.0)
        try:
            return replace(found, state="running", version=kube.version(), nodes=_nodes(kube))
        except DevtoolsError as error:
            return replace(found, state="broken", problem=error.message, hint=error.hint)

    def stop(self, progress: Progress) -> None:  # noqa: ARG002 - the protocol's
        """Refuse, because others may be using the cluster."""
        message = f"context {self.name} is an existing cluster: devtools does not stop it"
        raise ConfigError(message, hint="stop it with the tool that created it")

    def delete(self, progress: Progress) -> None:  # noqa: ARG002 - the protocol's
        """Refuse, because devtools did not create the cluster."""
        message = f"context {self.name} is an existing cluster: devtools does not delete it"
        raise ConfigError(message, hint="invoke down removes only what devtools installed in it")


def _nodes(kube: Kube) -> int:
    """Return the number of nodes; 0 for a user who may not list them."""
    with Tolerated(FORBIDDEN):
        return len(kube.metadata("/api/v1/nodes"))
    return 0


def _named_copy(context: str, kubeconfigs: tuple[Path, ...]) -> tuple[str, str]:
    """Return the name of the directory of a context's copy, and the copy; raises EnvironmentFault."""
    document = extract(_documents(kubeconfigs), context)
    try:  # not as JSON, whose keys cannot be sorted unless all of them are text
        which = yaml.safe_dump([context, document["clusters"][0]["cluster"]])
        text = yaml_text(document)
    except RecursionError as error:  # the dumper needs more stack than the loader's nesting limit ensures
        raise EnvironmentFault(f"context {context} is nested too deeply in its kubeconfig") from error
    return hashlib.sha256(which.encode()).hexdigest()[:12], text


def _directory_name(context: str, kubeconfigs: tuple[Path, ...]) -> str:
    """Return the name of the directory of a context's copy; empty if the kubeconfigs do not have the context."""
    try:
        return _named_copy(context, kubeconfigs)[0]
    except ClusterAbsent:
        return ""


def extract(sources: Sources, context: str) -> dict[str, Any]:
    """Return a kubeconfig of only this context, with absolute paths; raises EnvironmentFault if a part is missing."""
    parts = _mapping(_entry(sources, "context", context)[1].get("context"))
    cluster, user = (_entry(sources, kind, str(parts.get(kind, ""))) for kind in ("cluster", "user"))
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": dict(parts)}],
        "clusters": [{"name": cluster[1]["name"], "cluster": _absolute(cluster[1].get("cluster"), cluster[0])}],
        "users": [{"name": user[1]["name"], "user": _absolute(user[1].get("user"), user[0])}],
    }


def _entry(sources: Sources, kind: str, name: str) -> tuple[Path, Mapping[str, Any]]:
    """Return the first entry of this kind and name, and the file it is in."""
    known: list[str] = []
    for path, document in sources:
        listed = document.get(f"{kind}s")
        for entry in filter(None, map(_mapping, listed if isinstance(listed, list) else ())):
            if entry.get("name") == name:
                return path, entry
            known.append(str(entry.get("name")))
    where = ", ".join(str(path) for path, _ in sources) or "no kubeconfig"
    fault = ClusterAbsent if kind == "context" else EnvironmentFault
    raise fault(f"there is no {kind} {name!r} in {where}", hint=f"known: {', '.join(known) or 'none'}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _absolute(entry: Any, path: Path) -> dict[str, Any]:
    """Make file names absolute: they are relative to their kubeconfig, a plugin's only if it has a slash."""
    home, found = path.parent.absolute(), dict(_mapping(entry))
    found.update({key: str(home / str(found[key])) for key in _FILES if found.get(key)})
    plugin = _mapping(found.get("exec"))
    if "/" in str(plugin.get("command")):  # without a slash it is looked up on PATH
        found["exec"] = {**plugin, "command": str(home / str(plugin["command"]))}
    return found


def _documents(paths: Iterable[Path]) -> Sources:
    """Return the kubeconfig files that exist."""
    found: list[tuple[Path, Mapping[str, Any]]] = []
    for path in paths:
        try:
            if not S_ISREG(path.stat().st_mode):
                continue
            document = read_yaml(read_file(path)) or {}
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise EnvironmentFault(f"cannot read kubeconfig {path}") from error
        if not isinstance(document, Mapping):
            raise EnvironmentFault(f"{path} is not a kubeconfig")
        found.append((path, document))
    return found
