"""Strict checks by kubeconform: fields, types and required fields of the kinds whose CRDs are known.

It does not support CEL, so rules between fields, such as chart or chartRef, are not checked (yannh/kubeconform#236).
Kinds of Kubernetes itself have no CRD and are not checked, because their schemas would have to be downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.base.atomic_write import private_directory
from devtools.checks.kubeconform import faults_of, schema_file
from devtools.checks.schemas import schemas_of
from devtools.gitops.schemas import NOT_SERVED, Checked, Rejection, counted, kind_of, without_status
from devtools.gitops.schemas.crds import Crds
from devtools.process.runner import Runner


def check(program: Path, runner: Runner, objects: Sequence[Mapping[str, Any]], crds: Crds, version: str) -> Checked:
    """Check the objects whose CRD is known with kubeconform."""
    kinds = {kind_of(item)[::2] for item in objects}
    schemas = schemas_of({}, [crd for kind, crd in crds.items() if kind in kinds])
    applied = [(index, item) for index, item in enumerate(objects) if kind_of(item)[0] not in NOT_SERVED]
    known = [(index, without_status(item)) for index, item in applied if schema_file(item) in schemas]
    with private_directory("schemas") as scratch:
        faults = list(faults_of(program, runner, schemas, [item for _, item in known], scratch))
    return Checked(
        by=f"kubeconform {version}",
        rejections=tuple(
            Rejection(
                index=known[fault.index][0],
                path=tuple(int(part) if part.isdigit() else part for part in fault.path),
                message=fault.message,
                unknown=fault.kind == "unknown field",
            )
            for fault in faults
        ),
        skipped=counted(item for _, item in applied if schema_file(item) not in schemas),
    )
