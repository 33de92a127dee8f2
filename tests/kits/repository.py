"""A small repository of a user, and the commands typed in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from tests.kits.fork_server import PYTHONS_OWN, ForkServer

ROOT = Path(__file__).parent.parent.parent
SERVER = ForkServer()  # of this process, from the first command on

LAYER = """\
stage: base
releases:
  - name: conf
    chart: platform/conf
    values: {say: hello}
    contract:
      - {kind: ConfigMap, name: conf, jsonpath: "{.data.say}", equals: hello}
"""
SMOKE = """\
stage: tests
releases:
  - name: smoke
    chart: platform/helm-test-jobs
    smoke: true
    values:
      jobs:
        - name: conf
          script: |
            check "conf is there" kubectl get configmap/conf -o name
          rules:
            - {apiGroups: [""], resources: [configmaps], verbs: [get]}
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {say: {{ .Values.say | quote }}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What `--output json` put on stdout: one document and nothing else."""
        return dict(json.loads(self.out))

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass(kw_only=True)
class Repo:
    """A repository in a directory of its own, on the test run's cluster."""

    path: Path
    namespace: str
    app: App
    env: dict[str, str] = field(default_factory=dict)

    def make(self) -> Repo:
        """Two layers: a ConfigMap with a contract, and a smoke test that looks at it."""
        self.write("devtools.yaml", f"name: {self.namespace}\n")
        self.write("tasks.py", "from devtools.tasks import namespace\n")
        self.write("layers/_defaults.yaml", f"helm: {{timeout: 300s}}\nrelease: {{namespace: {self.namespace}}}\n")
        self.write("layers/10-base.yaml", LAYER)
        self.write("layers/60-tests.yaml", SMOKE)
        self.write("environments/local/environment.yaml", "")
        self.chart("conf", CONFIG_MAP)
        shutil.copytree(ROOT / "charts/platform/helm-test-jobs", self.path / "charts/platform/helm-test-jobs")
        return self

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new), encoding="utf-8")

    def chart(self, name: str, *templates: str) -> None:
        self.write(f"charts/platform/{name}/Chart.yaml", f"apiVersion: v2\nname: {name}\nversion: 0.1.0\n")
        for number, template in enumerate(templates):
            self.write(f"charts/platform/{name}/templates/{number}.yaml", template)

    def apart(self) -> Path:
        """Take a state directory of its own, with the same clusters; the directory.

        For who looks at locks and marks of runs: other tests make theirs meanwhile, and their runs end what is left.
        """
        clusters, state = Path(self.environ["DEVTOOLS_STATE"]) / "clusters", self.path.parent / "state"
        state.mkdir()
        (state / "clusters").symlink_to(clusters)
        self.env["DEVTOOLS_STATE"] = str(state)
        return state

    @property
    def environ(self) -> dict[str, str]:
        retained = {key: value for key, value in self.app.environ.items() if not key.startswith("PYTEST")}
        return {**retained, "PATH": os.environ["PATH"], "NO_COLOR": "1", **self.env}

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Type a command and do not wait for it."""
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "invoke"), *words],
            cwd=self.path,
            env={**self.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def invoke(self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 600) -> Typed:
        """Type a command and wait for its end; no traceback may ever be shown."""
        if any(name.startswith(PYTHONS_OWN) for name in {**self.env, **(env or {})}):
            with self.start(*words, env=env) as child:
                try:
                    out, err = child.communicate(timeout=timeout)
                except subprocess.TimeoutExpired:
                    child.kill()
                    raise
            code = child.returncode
        else:
            done = SERVER.run(words, cwd=self.path, env={**self.environ, **(env or {})}, timeout=timeout)
            code, out, err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in out + err, out + err
        return Typed(code=code, out=out, err=err)
