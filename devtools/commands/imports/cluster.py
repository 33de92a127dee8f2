"""`invoke import.cluster`: writes layers, overlays and charts from the releases on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.words import plural
from devtools.base.yaml_positions import read
from devtools.commands.imports.helmfile import out_of
from devtools.commands.imports.writing import finish, layer_names
from devtools.errors import ConfigError, DevtoolsError, ExitCode
from devtools.helm.ownership import revision_of
from devtools.helm.record import read_document
from devtools.imports.cluster import convert_records
from devtools.imports.values import paths
from devtools.releases.facts import helm_records, newest_records, record_path
from devtools.sops.encrypted_file import SUFFIX


def import_cluster(
    app: App, namespaces: Sequence[str], out: str, output: str, *, dry_run: bool, overwrite: bool
) -> ExitCode:
    """Write a stack from Helm's records; the cluster is only read, and nothing is written if there is a problem."""
    target, root = app.find_cluster(), out_of(app, out)
    documents = _documents(app, namespaces)
    if not documents:
        where = f"in {', '.join(namespaces)}" if namespaces else f"on {target.context}"
        hint = "invoke cluster.status shows which cluster it is"
        raise ConfigError(f"no Helm release is deployed {where}", hint=hint)
    app.say(f"reading {plural(len(documents), 'release')} of {target.context}")
    environment = app.environment_name
    imported = convert_records(documents, environment, layer_names(root), _encrypted(root))
    head = {"kind": "import-cluster", "context": target.context}
    finish(app, root, imported, [environment], head, output, dry_run=dry_run, overwrite=overwrite)
    if any(item.get("config") for item in documents):
        app.say("Helm stores values in plain text, decrypted ones, too: read the overlays before you commit them")
    return ExitCode.OK


def _encrypted(root: Path) -> dict[str, set[tuple[str, ...]]]:
    """Return the keys that SOPS encrypted in the target repository, by the name of the release."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for file in sorted(root.glob(f"environments/*/*/*{SUFFIX}")):
        found.setdefault(file.name.removesuffix(SUFFIX), set()).update(paths(read(file).data))
    return found


def _documents(app: App, namespaces: Sequence[str]) -> list[dict[str, Any]]:
    """Return Helm's record of each deployed release, by namespace and name; report unreadable ones."""
    kube = app.client(app.find_cluster())
    found = []
    for release, metadata in sorted(newest_records(helm_records(kube, namespaces)).items()):
        labels = metadata.get("labels") or {}
        if labels.get("status") != "deployed" or (namespaces and release.namespace not in namespaces):
            continue
        secret = kube.get(record_path(release, revision_of(metadata)))
        try:
            found.append(read_document(secret or {}))
        except DevtoolsError as error:
            app.say(f"{release} is left out: {error.message}")
    return found
