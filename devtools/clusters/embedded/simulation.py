"""Simulates kubelets, a volume provisioner and operators on the embedded cluster: Stages, classes, Nodes.

Stage format: https://kwok.sigs.k8s.io/docs/user/stages-configuration/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import read_documents, read_yaml
from devtools.base.open_file import open_source
from devtools.clusters.embedded.kwokctl import FAKE_NODE
from devtools.clusters.embedded.names import architecture
from devtools.clusters.embedded.template import filled
from devtools.errors import ConfigError, EnvironmentFault, Location, Problem
from devtools.kube.api_errors import CONFLICT, Tolerated
from devtools.kube.client import Kube
from devtools.model import ObjectRef
from devtools.process.waiting import wait_until

DATA = Path(__file__).with_name("data")
OWNER_LABEL = "devtools.ameide.io/simulation"  # label of all objects applied by this module: `base` or `stack`
NODES = "/api/v1/nodes"
_STAGES = "/apis/kwok.x-k8s.io/v1alpha1/stages"
_SERVED_WITHIN = 60.0  # maximum seconds until a new CRD is served


def base_objects(volumes: Path, kubelet_port: int, kinds: Collection[str]) -> tuple[dict[str, Any], ...]:
    """Return the built-in objects.

    `volumes` is the directory of simulated volumes, `kubelet_port` the port of the simulated kubelet, `kinds` those
    whose CRDs kwok must notice, as `custom_kinds` names them.
    """
    # An empty list is refused; no kind has the name `none`.
    replaced = {
        "@VOLUMES@": str(volumes),
        "@KUBELET_PORT@": str(kubelet_port),
        "[@KINDS@]": json.dumps([*kinds] or ["none"]),
    }
    return _packaged(DATA, replaced)


def custom_kinds(objects: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the kinds of CRDs that Stages simulate, as `cert-manager.io/Issuer`; built-in groups have no dot."""
    stages = (item.get("spec") or {} for item in objects if item["kind"] == "Stage")
    played = [ref for spec in stages if isinstance(ref := spec.get("resourceRef"), dict)]
    names = {f"{str(ref.get('apiGroup')).partition('/')[0]}/{ref.get('kind')}" for ref in played}
    return tuple(sorted(name for name in names if "." in name))


def policies() -> tuple[dict[str, Any], ...]:
    """Return the policy that excludes unsuitable pods from the real node; needs a feature gate of kwokctl's config."""
    return _packaged(DATA / "policies", {})


def _packaged(directory: Path, replaced: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for path in sorted(directory.glob("*.yaml")):
        text = path.read_text()
        for token, value in replaced.items():
            text = text.replace(token, value)
        found += [_owned(item, "base") for item in read_documents(text) if item]
    return tuple(found)


def stack_objects(files: Iterable[Path]) -> tuple[dict[str, Any], ...]:
    """Return the objects of a repository's simulation files, in order; raises ConfigError with every invalid file."""
    found: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for path in files:
        try:
            with open_source(path) as file:
                items = [item for item in read_documents(file.read()) if item]
            found += [_owned(item, "stack") for item in items]
        except (OSError, TypeError, KeyError, ValueError) as error:
            where = Location(file=path, line=_line(error))
            problems.append(Problem(where=where, message=f"not Kubernetes objects: {_first_line(error)}"))
    if problems:
        raise ConfigError("simulation files are wrong", problems=tuple(problems))
    return tuple(found)


def digest(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return the sha256 of these objects."""
    return hashlib.sha256(json.dumps(list(objects), sort_keys=True).encode()).hexdigest()


def apply(kube: Kube, objects: Iterable[Mapping[str, Any]]) -> None:
    """Server-side apply all of them, and remove previously applied Stages that are not among them."""
    keep = set()
    for item in objects:
        kube.apply(_path(kube, item), item)
        keep.add((item["kind"], item["metadata"]["name"]))
    for known in kube.metadata(_STAGES, labelSelector=OWNER_LABEL):
        if ("Stage", known["name"]) not in keep:
            kube.delete(f"{_STAGES}/{known['name']}")


def fake_node(number: int) -> dict[str, Any]:
    """Return a Node with ample capacity, whose kubelet kwok simulates."""
    values = {"FAKE_NODE": FAKE_NODE, "OWNER_LABEL": OWNER_LABEL, "ARCH": architecture()}
    node: dict[str, Any] = read_yaml(filled("simulated-node.yaml", NAME=f"simulated-{number}", **values))
    return node


def ensure_nodes(kube: Kube, count: int) -> None:
    """Ensure exactly `count` simulated nodes; they are created, because an apply would drop their status."""
    present = {item["name"] for item in kube.metadata(NODES, labelSelector="type=kwok")}
    numbers = {f"simulated-{number}": number for number in range(count)}
    for name in sorted(present - set(numbers)):
        kube.delete(f"{NODES}/{name}")
    for name in sorted(set(numbers) - present):
        with Tolerated(CONFLICT):
            kube.create(NODES, fake_node(numbers[name]))


def ready_nodes(kube: Kube) -> dict[str, bool]:
    """Return every node's name, and whether it is Ready."""
    return {item["metadata"]["name"]: is_ready(item) for item in kube.items(NODES)}


def is_ready(item: Mapping[str, Any]) -> bool:
    """Return whether an object's Ready condition is True."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def _path(kube: Kube, item: Mapping[str, Any]) -> str:
    """Return an object's URL path, waiting until its kind is served."""
    metadata = item["metadata"]
    ref = ObjectRef(item["apiVersion"], item["kind"], metadata.get("namespace", ""), metadata["name"])

    def find() -> str | None:
        kube.discover()
        return kube.path_of(ref)

    path = kube.path_of(ref) or wait_until(find, _SERVED_WITHIN, kube.cancel, 0.1)
    if path is None:
        raise EnvironmentFault(f"the API server does not serve {ref.kind} ({ref.api_version})")
    return path


def _owned(item: Any, owner: str) -> dict[str, Any]:
    """Return the object with the module's label; raises if it is not a Kubernetes object."""
    if not isinstance(item, dict) or not item.get("kind") or not item.get("apiVersion"):
        raise ValueError("an object without apiVersion or kind")
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise TypeError("an object without a name")
    metadata["labels"] = {**(metadata.get("labels") or {}), OWNER_LABEL: owner}
    owned: dict[str, Any] = read_json(json.dumps(item))  # as in the request: every key is text
    return owned


def _line(error: Exception) -> int:
    """Return the 1-based line of a YAML error."""
    mark = getattr(error.__cause__, "problem_mark", None)
    return int(mark.line) + 1 if mark else 1


def _first_line(error: Exception) -> str:
    return str(getattr(error.__cause__, "problem", "") or error).splitlines()[0]
