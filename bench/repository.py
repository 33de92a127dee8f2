"""A repository of synthetic releases, as a user of this tool has one: layers, one vendored chart, the lock."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.graphs import Node

LAYER = "10-bench"
CHART = "bench/app"
ARCHIVE = Path("charts/third_party/bench/app/app-0.1.0.tgz")
_TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {text: {{ .Values.text | quote }}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {app: {{ .Release.Name }}}}
spec:
  replicas: 1
  minReadySeconds: {{ .Values.delay }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: app, image: "example.invalid/app:1"}]}
"""
_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: app\nversion: 0.1.0\n",
    "values.yaml": "delay: 0\ntext: hello\n",
    "templates/all.yaml": _TEMPLATE,
}


def write_repository(root: Path, nodes: Sequence[Node], namespace: str, *, changed: str = "") -> Path:
    """Write the repository into `root` and return it; `changed` names one release whose value is another."""
    files = {
        "devtools.yaml": f"name: {namespace}\n",
        "tasks.py": "from devtools.tasks import namespace\n",
        "layers/_defaults.yaml": yaml.safe_dump({"helm": {"timeout": "5m"}, "release": {"namespace": namespace}}),
        f"layers/{LAYER}.yaml": layer_file(nodes, namespace, changed=changed),
        "environments/local/environment.yaml": "{}\n",
        "charts/third_party/lock.yaml": lock_file(),
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    path = root / ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive())
    return root


def layer_file(nodes: Sequence[Node], namespace: str, *, changed: str = "") -> str:
    """The one layer file."""
    releases = [
        {
            "name": node.name,
            "chart": CHART,
            **({"needs": [f"{namespace}/{need}" for need in node.needs]} if node.needs else {}),
            "values": {"delay": node.delay, "text": "changed" if node.name == changed else "hello"},
        }
        for node in nodes
    ]
    return yaml.safe_dump({"stage": "bench", "releases": releases}, sort_keys=False)


def lock_file() -> str:
    """The lock, with the archive's sha256."""
    entry = {
        "publisher": "bench",
        "name": "app",
        "version": "0.1.0",
        "repository": "https://example.invalid/charts",
        "sha256": hashlib.sha256(archive()).hexdigest(),
    }
    return json.dumps({"charts": [entry]}, indent=1) + "\n"


def archive() -> bytes:
    """The chart's archive: always the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, text in _CHART.items():
            info = tarfile.TarInfo(f"app/{name}")
            info.size, info.mode = len(text.encode()), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=0)
