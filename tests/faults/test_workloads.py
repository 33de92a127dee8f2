"""Workloads that cannot start, on a real kubelet: all in one run, which must not wait for any to its timeout."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from devtools.clusters.provider import Cluster
from devtools.errors import ExitCode
from devtools.events import Bus, Event, Outcome, RunFinished, StepFinished, StepWaiting
from devtools.kube.client import ApiError, Kube
from devtools.model import Hook, ObjectRef
from devtools.report.terminal.plain import Plain
from tests.faults.workloads import (
    MOUNT,
    Object,
    bare,
    claim,
    container,
    job,
    mounted,
    pod,
    probe,
    refusal,
    storage_class,
    workload,
)
from tests.kits.run import HERE, Bench, config_map, plan, step
from tests.kits.waiting import eventually
from tests.report.scenarios import started

pytestmark = [pytest.mark.cluster, pytest.mark.real]

TIMEOUT = 600.0  # seconds of every release: who waits for it has failed the test
SAYS_NO = "echo not alive; exit 1"
NO_IMAGE = {"image": "registry.invalid/none:1", "imagePullPolicy": "IfNotPresent"}
# A class of this worker alone: its volumes wait for a pod, and then for a provisioner that is nowhere.
LATE_CLASS = f"late-{os.getpid()}"
BY_HELM = re.compile(r"^helm upgrade$|hook\)$")  # what it waits for before its objects are made
QUOTA = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A release that cannot get ready: what it makes, and what is said of it, as a regular expression and as lines."""

    makes: Callable[[Cluster], list[Object]]
    says: str
    shows: tuple[str, ...] = ()
    hint: str = ""


def _web(cluster: Cluster, path: str) -> Object:
    """A web server that is asked for a page."""
    script = "mkdir /tmp/www; echo serving; exec busybox httpd -f -p 8080 -h /tmp/www"
    asked = probe("readinessProbe", httpGet={"path": path, "port": 8080})
    return pod(cluster, container(cluster, "sh", "-c", script, **asked))


def _says(cluster: Cluster, script: str, **more: Any) -> Object:
    """A pod with one container that runs a script."""
    return pod(cluster, container(cluster, "sh", "-c", script, **more))


FAULTS: dict[str, Fault] = {
    "image": Fault(
        makes=lambda c: [workload("image", pod(c, {**container(c), **NO_IMAGE}))],
        says=r"Pod/image-\S+ container app: (ErrImagePull|ImagePullBackOff): .*registry\.invalid/none:1",
        hint="is the image's name right, and does the cluster reach its registry?",
    ),
    "image-of-hook": Fault(
        makes=lambda c: [job("migrate", pod(c, {**container(c), **NO_IMAGE}), "pre-install")],
        says=r"pre-install hook: Pod/migrate-\S+ container app: (ErrImagePull|ImagePullBackOff): .*registry\.invalid",
    ),
    "hook-fails": Fault(
        makes=lambda c: [
            job(
                "fails",
                _says(c, "echo migrating; echo no table; sleep 10; exit 2"),
                "pre-install",
                {"helm.sh/hook-delete-policy": "before-hook-creation,hook-failed"},
            )
        ],
        # helm may have noticed it first, and removed the pod, or both
        says=r"(pre-install hook: (Pod/fails-\S+ .*: exit code 2|Job/fails: F)|failed pre-install: .*Job/\S+/fails )",
        shows=("log app: migrating", "log app: no table"),
    ),
    "crash": Fault(
        makes=lambda c: [workload("crash", _says(c, "echo starting; echo no database; exit 3"))],
        says=r"Pod/crash-\S+ container app: CrashLoopBackOff: exit code 3 after [23] restarts",
        shows=("log app: starting", "log app: no database"),
        hint="if it only waits for another release, declare that with `needs`",
    ),
    "no-program": Fault(
        makes=lambda c: [workload("no-program", pod(c, container(c, "nosuchtool")))],
        says=r"Pod/no-program-\S+ container app: \w+: .*nosuchtool.*executable file not found",
    ),
    "oom": Fault(
        makes=lambda c: [
            workload("oom", _says(c, "echo eating; tail /dev/zero", resources={"limits": {"memory": "16Mi"}}))
        ],
        says=r"Pod/oom-\S+ container app: CrashLoopBackOff: exit code 137 \(OOMKilled\) after [23] restarts",
        shows=("log app: eating",),
    ),
    "init": Fault(
        makes=lambda c: [
            workload("init", pod(c, container(c), initContainers=[_named(c, "prepare", "echo preparing; exit 2")]))
        ],
        says=r"Pod/init-\S+ container prepare: CrashLoopBackOff: exit code 2 after [23] restarts",
        shows=("log prepare: preparing",),
    ),
    "startup": Fault(
        makes=lambda c: [
            workload("startup", pod(c, container(c, **probe("startupProbe", exec={"command": ["sh", "-c", SAYS_NO]}))))
        ],
        says=r"Pod/startup-\S+ container app: CrashLoopBackOff: .*; kubelet ended it: Startup probe failed: not alive",
        shows=("log app: started",),
    ),
    "liveness": Fault(
        makes=lambda c: [
            workload(
                "liveness",
                pod(c, container(c, **probe("livenessProbe", exec={"command": ["sh", "-c", SAYS_NO]}))),
                minReadySeconds=60,
            )
        ],
        says=r"Pod/liveness-\S+ container app: CrashLoopBackOff: .*kubelet ended it: Liveness probe failed: not alive",
        shows=("log app: started",),
    ),
    "readiness-page": Fault(
        makes=lambda c: [workload("readiness-page", _web(c, "/nope"))],
        says=r"Pod/readiness-page-\S+ container app: Unhealthy: Readiness probe failed: .* statuscode: 404",
        shows=("log app: serving",),
    ),
    "readiness-deadline": Fault(
        makes=lambda c: [
            workload(
                "readiness-deadline",
                pod(c, container(c, **probe("readinessProbe", exec={"command": ["sh", "-c", SAYS_NO]}))),
                progressDeadlineSeconds=30,
            )
        ],
        says=r"Deployment/readiness-deadline: ProgressDeadlineExceeded: ReplicaSet .* has timed out progressing",
        shows=("event: Unhealthy: Readiness probe failed: not alive", "log app: started"),
    ),
    "no-config": Fault(
        makes=lambda c: [workload("no-config", pod(c, container(c, envFrom=[{"configMapRef": {"name": "absent"}}])))],
        says=r'Pod/no-config-\S+ container app: CreateContainerConfigError: configmap "absent" not found',
        hint="if another release makes the missing object, declare that with `needs`",
    ),
    "no-secret": Fault(
        makes=lambda c: [workload("no-secret", pod(c, container(c, envFrom=[{"secretRef": {"name": "absent"}}])))],
        says=r'Pod/no-secret-\S+ container app: CreateContainerConfigError: secret "absent" not found',
    ),
    "root": Fault(
        makes=lambda c: [
            workload("root", pod(c, container(c, securityContext={"runAsNonRoot": True, "runAsUser": 0})))
        ],
        says=r"Pod/root-\S+ container app: CreateContainerConfigError: container's runAsUser breaks non-root policy",
    ),
    "no-volume": Fault(
        makes=lambda c: [
            workload(
                "no-volume",
                pod(c, container(c, **MOUNT), **mounted({"secret": {"secretName": "absent"}})),
                "StatefulSet",
            )
        ],
        says=r'Pod/no-volume-0: FailedMount: MountVolume\.SetUp failed for volume "data" : secret "absent" not found',
        hint="if another release makes the missing object, declare that with `needs`",
    ),
    "no-class": Fault(
        makes=lambda c: [
            claim("no-class", "nosuchclass"),
            workload("no-class", pod(c, container(c, **MOUNT), **mounted(_claimed("no-class")))),
        ],
        says=r'PersistentVolumeClaim/no-class: ProvisioningFailed: storageclass\S* "nosuchclass" not found',
        hint="`kubectl get storageclasses` shows what there is",
    ),
    "no-provisioner": Fault(
        makes=lambda c: [
            claim("no-provisioner", LATE_CLASS),
            workload("no-provisioner", pod(c, container(c, **MOUNT), **mounted(_claimed("no-provisioner")))),
        ],
        says=r"PersistentVolumeClaim/no-provisioner: ExternalProvisioning: .* provisioner 'example\.com/nobody'",
        hint="the provisioner of its storage class does not answer: is it installed?",
    ),
    "no-room": Fault(
        makes=lambda c: [workload("no-room", pod(c, container(c, resources={"requests": {"cpu": "9999"}})))],
        says=r"Pod/no-room-\S+: Unschedulable: 0/\d+ nodes are available: .*Insufficient cpu",
    ),
    "node-refuses": Fault(
        makes=lambda c: [
            bare(
                "node-refuses",
                pod(c, container(c, resources={"requests": {"cpu": "9999"}}), nodeName=c.real_node),
            )
        ],
        says=r"Pod/node-refuses: Failed: OutOfcpu: Pod was rejected: .*cpu",
    ),
    "quota": Fault(
        makes=lambda c: [workload("quota", pod(c, container(c)))],
        says=r"Deployment/quota: FailedCreate: pods \S+ is forbidden: exceeded quota: none",
        hint="`kubectl describe resourcequotas` shows the usage and the limits",
    ),
    "quota-set": Fault(
        makes=lambda c: [workload("quota-set", pod(c, container(c)), "StatefulSet")],
        says=r"StatefulSet/quota-set: FailedCreate: .*exceeded quota: none",
    ),
    "quota-job": Fault(
        makes=lambda c: [job("quota-job", pod(c, container(c)))],
        says=r"Job/quota-job: FailedCreate: .*exceeded quota: none",
    ),
    "policy": Fault(
        makes=lambda c: [workload("policy", pod(c, container(c)))],
        says=r"Deployment/policy: FailedCreate: .*ValidatingAdmissionPolicy .* denied request: no pods like this",
    ),
    "paused": Fault(
        makes=lambda c: [workload("paused", pod(c, container(c)), paused=True)],
        says="Deployment/paused: DeploymentPaused: its rollout is paused, so that no pod is updated",
        hint="`kubectl rollout resume` lets it go on",
    ),
    "job-fails": Fault(
        makes=lambda c: [job("job-fails", _says(c, "echo loading; exit 4"), backoffLimit=1)],
        says=r"Pod/job-fails-\S+ container app: Failed: exit code 4",
        shows=("log app: loading",),
    ),
    "deleted": Fault(
        makes=lambda c: [workload("deleted", _web(c, "/late"), progressDeadlineSeconds=500)],
        says="Deployment/deleted: Deleted: something deleted it while it was waited for",
    ),
}
HEALING: dict[str, Callable[[Cluster], list[Object]]] = {
    # what comes late comes 6 s after the run began
    "late-config": lambda c: [
        workload("late-config", pod(c, container(c, envFrom=[{"configMapRef": {"name": "late"}}])))
    ],
    "late-volume": lambda c: [
        workload("late-volume", pod(c, container(c, **MOUNT), **mounted({"configMap": {"name": "late"}})))
    ],
    "slow": lambda c: [
        workload(
            "slow",
            _says(
                c,
                "sleep 12; touch /tmp/ready; while :; do sleep 1; done",
                **probe("readinessProbe", exec={"command": ["ls", "/tmp/ready"]}),
                **probe("startupProbe", exec={"command": ["ls", "/tmp/ready"]}, failureThreshold=60),
            ),
        )
    ],
    "second-try": lambda c: [
        workload(
            "second-try",
            pod(
                c,
                container(c, "sh", "-c", "[ -e /data/x ] || { touch /data/x; exit 1; }; sleep 1000", **MOUNT),
                **mounted({"emptyDir": {}}),
            ),
        )
    ],
    "unused-claim": lambda _: [claim("unused-claim", LATE_CLASS)],
    "short-job": lambda c: [job("short-job", pod(c, container(c, "true")), ttlSecondsAfterFinished=0)],
}


def _named(cluster: Cluster, name: str, script: str) -> Object:
    return container(cluster, "sh", "-c", script, name=name)


def _claimed(name: str) -> Object:
    return {"persistentVolumeClaim": {"claimName": name}}


@dataclass(slots=True)
class Clocked:
    """Events with their times."""

    pairs: list[tuple[Event, float]] = field(default_factory=list)

    def emit(self, event: Event, at: float) -> None:
        self.pairs.append((event, at))

    def close(self) -> None:
        """Nothing is kept open."""

    def of(self, name: str) -> list[tuple[Event, float]]:
        return [(event, at) for event, at in self.pairs if str(getattr(event, "release", "")).endswith(f"/{name}")]

    def end(self, name: str) -> StepFinished:
        return next(event for event, _ in self.of(name) if isinstance(event, StepFinished))


def _refuses(kube: Kube, space: str) -> bool:
    """Whether the API server has learnt of the policy."""
    path = f"/api/v1/namespaces/{space}/pods"
    spec = {"nodeName": "nowhere", "containers": [{"name": "a", "image": "a"}]}
    try:
        kube.create(path, {"metadata": {"name": "probe", "labels": {"app": "policy"}}, "spec": spec})
    except ApiError:
        return True
    kube.delete(f"{path}/probe")
    return False


def _delete_when_there(bench: Bench) -> None:
    """Delete the Deployment `deleted` once its pod has begun."""
    path = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments/deleted"
    while not bench.cancel.wait(0.2):
        found = bench.kube.get(path)
        if found and (found.get("status") or {}).get("replicas"):
            bench.kube.delete(path)
            return


@pytest.fixture(scope="module")
def run(cluster: Cluster, tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    """Every release of this file in one run, on the cluster of the whole test run."""
    space = f"workloads-{uuid4().hex[:6]}"
    bench = Bench(cluster=cluster, helm=tool("helm"), namespace=space, root=tmp_path_factory.mktemp("workloads"))
    kube, full, clocked = bench.kube, f"{space}-full", Clocked()
    for name in (space, full):
        kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    kube.create(f"/api/v1/namespaces/{full}/resourcequotas", QUOTA)
    others = [storage_class(LATE_CLASS), *refusal(space, "policy", "no pods like this")]
    paths = [kube.path_of(ObjectRef(item["apiVersion"], item["kind"], "", item["metadata"]["name"])) for item in others]
    for path, item in zip(paths, others, strict=True):
        kube.apply(str(path), item)
    eventually(lambda: _refuses(kube, space))
    deleter = Thread(target=_delete_when_there, args=(bench,))
    deleter.start()
    try:
        late = bench.release(bench.chart("late", config_map("late", a="b")))
        late = replace(late, before=(Hook(argv=("sleep", "6"), where=HERE),))
        made = {name: make(cluster) for name, make in HEALING.items()}
        made |= {name: fault.makes(cluster) for name, fault in FAULTS.items()}
        releases = [
            replace(
                bench.release(bench.chart(name, *objects), timeout=TIMEOUT),
                namespace=full if name.startswith("quota") else space,
            )
            for name, objects in made.items()
        ]
        bench.run(plan(step(late), *map(step, releases)), bus=Bus((clocked,), time.time))
        yield clocked
    finally:
        bench.cancel.set("the end")
        deleter.join()
        for path in [*map(str, paths), f"/api/v1/namespaces/{space}", f"/api/v1/namespaces/{full}"]:
            kube.delete(path)


@pytest.mark.parametrize("name", FAULTS)
def test_what_will_not_heal_ends_within_seconds_and_says_why(run: Clocked, name: str) -> None:
    fault, end = FAULTS[name], run.end(name)
    assert end.outcome is Outcome.FAILED, end
    assert re.fullmatch(f"{fault.says}.*", end.reason), end.reason
    assert set(fault.shows) <= set(end.details), end
    assert end.hint == (fault.hint or end.hint)


@pytest.mark.parametrize("name", HEALING)
def test_what_heals_is_waited_for(run: Clocked, name: str) -> None:
    end = run.end(name)
    assert end.outcome is Outcome.INSTALLED, end


@pytest.mark.parametrize("name", ["image", "no-secret"])
def test_the_text_of_the_reason_is_not_repeated(run: Clocked, name: str) -> None:
    """Kubelet makes an event of a reason alone, `Error: ErrImagePull`, beside those that say more."""
    assert [line for line in run.end(name).details if line.startswith("event: Failed: Error: ")] == []


def test_a_failing_readiness_probe_is_shown_with_the_time_left(run: Clocked) -> None:
    waits = [event for event, _ in run.of("readiness-deadline") if isinstance(event, StepWaiting)]
    waits = [event for event in waits if not BY_HELM.search(event.what)]  # helm has a time of its own
    reported = "Deployment/readiness-deadline (0 of 1 pods available: Readiness probe failed: not alive)"
    assert reported in [event.what for event in waits]
    left = [event.left for event in waits]
    assert left == sorted(left, reverse=True)
    assert all(0 < seconds <= TIMEOUT for seconds in left), left


def test_a_job_that_retries_is_shown_with_its_attempts(run: Clocked) -> None:
    printed = [event.what for event, _ in run.of("job-fails") if isinstance(event, StepWaiting)]
    assert "Job/job-fails (its pod to run: 1 pod failed, the last with exit code 4)" in printed


def test_a_hook_that_helm_waits_for_is_named_meanwhile(run: Clocked) -> None:
    printed = [event.what for event, _ in run.of("image-of-hook") if isinstance(event, StepWaiting)]
    assert printed == ["helm upgrade", "Job/migrate (pre-install hook)"]


def test_no_failure_waited_for_the_timeout(run: Clocked) -> None:
    end, _ = run.pairs[-1]
    assert isinstance(end, RunFinished)
    assert end.exit_code == ExitCode.FAILED
    assert end.seconds < TIMEOUT


def test_the_last_screen_says_what_broke_why_and_what_to_type(run: Clocked, tmp_path: Path) -> None:
    out = io.StringIO()
    plain = Plain(out, io.StringIO(), cwd=tmp_path, width=110)
    for event, at in [(started(str(tmp_path)), run.pairs[0][1]), *run.of("crash"), run.pairs[-1]]:
        plain.emit(event, at)
    plain.close()
    lines = out.getvalue().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAILED"))
    shown = "\n".join(lines[at:])
    assert re.search(r"^FAILED workloads-\w+/crash \(layer 40-data-plane\) after \d+s$", shown, re.MULTILINE), shown
    for line in ("  | log app: starting", "  | log app: no database", "  Retry:  invoke layer 40-data-plane"):
        assert line in lines[at:], shown
    assert "container app: CrashLoopBackOff: exit code 3 after" in " ".join(shown.split())
    assert "declare that with `needs`" in " ".join(shown.split())
    assert len(lines) < 25  # a screen
