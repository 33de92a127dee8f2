"""What engine tests need: charts small enough to read, a plan from a few words, a run that remembers."""

from __future__ import annotations

import base64
import gzip
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from devtools.app.crash_reports import bug
from devtools.clusters.provider import Cluster
from devtools.engine.engine import Engine
from devtools.errors import ExitCode, Location
from devtools.events import Bus, Event
from devtools.helm.commands import Helm
from devtools.helm.labels import LABEL_LAUNCH
from devtools.helm.ownership import token_for_next_revision
from devtools.kube.client import Kube
from devtools.model import (
    Action,
    ChartRef,
    Environment,
    Facts,
    Plan,
    Release,
    ReleaseId,
    Stack,
    Step,
)
from devtools.process.runner import Cancel, Command, OnOutput, Result, SubprocessRunner
from devtools.releases.facts import observe, record_path
from devtools.run_context.session import Session
from devtools.run_context.slots import Slots
from devtools.testing import RecordingSink

HERE = Location(file=Path("layers/40-data-plane.yaml"))
LAYER = "40-data-plane"
GRACE = (5.0, 2.0)
Kind = TypeVar("Kind")


def chart(root: Path, name: str, *objects: Mapping[str, Any]) -> ChartRef:
    """A chart directory that renders exactly these objects."""
    path = root / name
    (path / "templates").mkdir(parents=True, exist_ok=True)
    (path / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "0.1.0"}))
    (path / "templates" / "all.yaml").write_text(yaml.safe_dump_all([dict(item) for item in objects]))
    return ChartRef(name=f"platform/{name}", path=path, version="0.1.0")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str, **labels: str) -> dict[str, Any]:
    """One replica on whatever node takes it; labels go to its pods."""
    labels = {"app": name, **labels}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "example.invalid/app:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name: str, hook: str, *command: str, cluster: Cluster | None = None) -> dict[str, Any]:
    """A hook Job; with a `cluster`, on its real node."""
    container: dict[str, Any] = {"name": "test", "image": "example.invalid/app:1", "command": list(command)}
    spec: dict[str, Any] = {"restartPolicy": "Never", "containers": [container]}
    if cluster:
        over = dict(cluster.smoke_values)
        container["image"] = over.pop("image")
        container["imagePullPolicy"] = over.pop("imagePullPolicy", "IfNotPresent")
        spec |= {key: value for key, value in over.items() if key in {"nodeSelector", "tolerations", "dnsPolicy"}}
    annotations = {"helm.sh/hook": hook, "helm.sh/hook-delete-policy": "before-hook-creation"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }


def release(chart_ref: ChartRef, namespace: str, *, name: str = "", **more: Any) -> Release:
    settings: dict[str, Any] = {"timeout": 300.0, **more}
    return Release(
        name=name or chart_ref.path.name, namespace=namespace, layer=LAYER, chart=chart_ref, where=HERE, **settings
    )


def step(item: Release, *needs: Release, action: Action = Action.INSTALL, **more: Any) -> Step:
    settings: dict[str, Any] = {"reason": "not on the cluster", "digest": "d" * 40, **more}
    return Step(release=item, action=action, needs=tuple(need.id for need in needs), **settings)


def plan(*steps: Step) -> Plan:
    stack = Stack(name="test", root=Path.cwd(), environment=Environment(name="local"), layers=())
    return Plan(stack=stack, layers=(LAYER,), steps=steps)


class Recorder(SubprocessRunner):
    """The real runner, remembering what it ran."""

    def __init__(self, cancel: Cancel) -> None:
        super().__init__(dict(os.environ), cancel, grace=GRACE)
        self.commands: list[Command] = []

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        self.commands.append(command)
        return super().run(command, on_output)

    def verbs(self) -> list[str]:
        return [f"{Path(command.argv[0]).name} {command.argv[1]}" for command in self.commands]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished run."""

    code: ExitCode
    events: Sequence[Event]
    runner: Recorder
    before: Facts
    after: Facts = field(default_factory=Facts)

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[Kind], **fields: str) -> Kind:
        found = [
            event for event in self.all(kind) if all(str(getattr(event, key)) == value for key, value in fields.items())
        ]
        assert len(found) == 1, found
        return found[0]


def set_status(kube: Kube, release_id: ReleaseId, revision: int, status: str, origin: str = "local") -> None:
    """Rewrite a Helm record as if a helm of ours had died in that state: labels and payload."""
    path = record_path(release_id, revision)
    secret = kube.get(path)
    assert secret is not None
    packed = gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"])))
    document = json.loads(packed)
    document["info"]["status"] = status
    again = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(document).encode()))).decode()
    labels = {"status": status}
    if verb := {"pending-rollback": "rollback", "uninstalling": "uninstall"}.get(status):
        labels[LABEL_LAUNCH] = token_for_next_revision(origin, verb, revision)
    kube.merge(path, {"metadata": {"labels": labels}, "data": {"release": again}})


# What goes on working, or is listed by every later run, when a test has ended.
LIVELY = (
    "/api/v1/namespaces/{}/secrets",
    "/apis/apps/v1/namespaces/{}/daemonsets",
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/apps/v1/namespaces/{}/statefulsets",
    "/apis/batch/v1/namespaces/{}/cronjobs",
    "/apis/batch/v1/namespaces/{}/jobs",
)


def clear(kube: Kube, namespace: str, *, whole: bool) -> None:
    """Leave nothing in a test's own namespace that later tests could notice.

    The namespace itself goes only when the `whole` of it has to: the API server then looks for objects of every kind
    that it serves, at a tenth of a second of its time, and a test run's cluster is removed at its end anyway.
    """
    if whole:
        kube.delete(f"/api/v1/namespaces/{namespace}")
        return
    for path in LIVELY:
        kube.delete(path.format(namespace))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    for pod in kube.metadata(pods):
        if not pod.get("ownerReferences"):  # the others go with their owner
            kube.delete(f"{pods}/{pod['name']}")


@dataclass(kw_only=True)
class Bench:
    """A cluster, a namespace of its own, and a place for charts."""

    cluster: Cluster
    helm: Path
    namespace: str
    root: Path
    cancel: Cancel = field(default_factory=Cancel)

    @property
    def kube(self) -> Kube:
        return Kube(self.cluster.kubeconfig, self.cluster.context, Cancel())

    def chart(self, name: str, *objects: Mapping[str, Any]) -> ChartRef:
        return chart(self.root, name, *objects)

    def release(self, ref: ChartRef, **more: Any) -> Release:
        return release(ref, self.namespace, **more)

    def id(self, name: str) -> ReleaseId:
        return ReleaseId(self.namespace, name)

    def run(self, made: Plan, values: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> Ran:
        """Carry out a plan on the real cluster with real helm."""
        sink, kube = RecordingSink(), self.kube
        facts = observe(kube)
        session = replace(self.session(sink, values or {}, made), **changes)
        runner = session.runner
        assert isinstance(runner, Recorder)
        code = Engine(session, made, facts).run()
        try:
            after = observe(kube)
        except Exception:  # noqa: BLE001 - a test took the API server away
            after = Facts()
        return Ran(code=code, events=sink.events, runner=runner, before=facts, after=after)

    def session(self, sink: RecordingSink, values: Mapping[str, Mapping[str, Any]], made: Plan) -> Session:
        kube = Kube(self.cluster.kubeconfig, self.cluster.context, self.cancel)
        helm = Helm(program=self.helm, kubeconfig=self.cluster.kubeconfig, context=self.cluster.context)
        return Session(
            kube=kube,
            find_helm=lambda: helm,
            runner=Recorder(self.cancel),
            bus=Bus((sink,), time.time, self.kube.redactor),
            cancel=self.cancel,
            slots=Slots(2),
            root=self.root,
            hook_env={"DEVTOOLS_CONTEXT": self.cluster.context},
            values={item.id: values.get(item.release.name, {}) for item in made.steps},
            real_node=self.cluster.real_node,
            bug=bug,
        )
