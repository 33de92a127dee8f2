"""`invoke import.cluster`: writes layers, overlays and charts from the releases on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.words import plural
from devtools.errors import ConfigError, DevtoolsError, ExitCode

VERSION = 1  # of the JSON document


def import_cluster(
    app: App, namespaces: Sequence[str], out: str, output: str, *, dry_run: bool, overwrite: bool
) -> ExitCode:
    """Write a stack from Helm's records; the cluster is only read, and nothing is written if there is a problem."""
    from devtools.commands.imports.helmfile import out_of
    from devtools.commands.imports.report import show
    from devtools.commands.imports.writing import changes_of, repository_files, write
    from devtools.imports.cluster import convert_records

    target, root = app.find_cluster(), out_of(app, out)
    documents = _documents(app, namespaces)
    if not documents:
        where = f"in {', '.join(namespaces)}" if namespaces else f"on {target.context}"
        raise ConfigError(
            f"no Helm release is deployed {where}", hint="invoke cluster.status shows which cluster it is"
        )
    app.say(f"reading {plural(len(documents), 'release')} of {target.context}")
    directory = root / "layers"
    there = sorted(path.name for path in directory.glob("*.yaml")) if directory.is_dir() else []
    environment = app.environment_name
    imported = convert_records(documents, environment, there, _encrypted(root))
    files = {**imported.files, **repository_files(root, environment)}
    changes = changes_of(root, files, (), overwrite=overwrite)
    if not dry_run:
        write(root, changes)
    document = {
        "version": VERSION,
        "kind": "import-cluster",
        "context": target.context,
        "directory": str(root),
        "environments": [environment],
        "dry_run": dry_run,
        "written": sorted(map(str, changes)),
        "unchanged": len(imported.files) - len(set(changes) & set(imported.files)),
        "charts": [],
        "rows": [
            {"carried": row.carried, "what": row.what, "where": row.where, "note": row.note} for row in imported.rows
        ],
    }
    show(app, document, output)
    if any(item.get("config") for item in documents):
        app.say("Helm stores values in plain text, decrypted ones, too: read the overlays before you commit them")
    return ExitCode.OK


def _encrypted(root: Path) -> dict[str, set[tuple[str, ...]]]:
    """Return the keys that SOPS encrypted in the target repository, by the name of the release."""
    from devtools.base.yaml_positions import read
    from devtools.imports.values import paths
    from devtools.sops.encrypted_file import SUFFIX

    found: dict[str, set[tuple[str, ...]]] = {}
    for file in sorted(root.glob(f"environments/*/*/*{SUFFIX}")):
        found.setdefault(file.name.removesuffix(SUFFIX), set()).update(paths(read(file).data))
    return found


def _documents(app: App, namespaces: Sequence[str]) -> list[dict[str, Any]]:
    """Return Helm's record of each deployed release, by namespace and name; report unreadable ones."""
    from devtools.helm.ownership import revision_of
    from devtools.helm.record import read_document
    from devtools.releases.facts import helm_records, newest_records, record_path

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
