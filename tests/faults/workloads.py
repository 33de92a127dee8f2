"""Charts with one fault each, for pods that a real kubelet runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devtools.clusters.provider import Cluster

Object = dict[str, Any]
SLEEP = ("sh", "-c", "trap exit TERM; echo started; while :; do sleep 1; done")


def container(cluster: Cluster, *command: str, name: str = "app", **more: Any) -> Object:
    """A container of the utility image."""
    values = cluster.smoke_values
    made: Object = {"name": name, "image": values["image"], "imagePullPolicy": values["imagePullPolicy"]}
    return {**made, "command": list(command or SLEEP), **more}


def pod(cluster: Cluster, *containers: Object, **more: Any) -> Object:
    """A pod's spec that only the real node takes."""
    values = cluster.smoke_values
    where = {key: values[key] for key in ("nodeSelector", "tolerations", "dnsPolicy") if key in values}
    return {**where, "terminationGracePeriodSeconds": 0, "containers": list(containers), **more}


def workload(name: str, spec: Object, kind: str = "Deployment", **more: Any) -> Object:
    """A Deployment, StatefulSet or DaemonSet with one replica of a pod."""
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    made: Object = {"selector": {"matchLabels": {"app": name}}, "template": template, **more}
    made |= {} if kind == "DaemonSet" else {"replicas": 1}
    made |= {"serviceName": name} if kind == "StatefulSet" else {}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": made}


def job(name: str, spec: Object, hook: str = "", annotations: Mapping[str, str] | None = None, **more: Any) -> Object:
    """A Job that tries once; with `hook`, one that Helm runs."""
    notes = {**({"helm.sh/hook": hook} if hook else {}), **(annotations or {})}
    body = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", **spec}}, **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": notes}, "spec": body}


def bare(name: str, spec: Object, hook: str = "") -> Object:
    """A Pod of its own."""
    notes = {"helm.sh/hook": hook} if hook else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": notes},
        "spec": {"restartPolicy": "Never", **spec},
    }


def claim(name: str, storage_class: str) -> Object:
    """A volume claim."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": storage_class,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def mounted(source: Object) -> Object:
    """A volume called `data`."""
    return {"volumes": [{"name": "data", **source}]}


MOUNT: Object = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}


def probe(kind: str, **more: Any) -> Object:
    """A probe that asks every second and means its first answer."""
    return {kind: {"periodSeconds": 1, "failureThreshold": 1, **more}}


def storage_class(name: str) -> Object:
    """A class whose volumes are made when a pod wants them, by a provisioner that is nowhere."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "example.com/nobody",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def refusal(namespace: str, app: str, message: str) -> tuple[Object, Object]:
    """A policy that refuses the pods of an app in a namespace, and what makes it hold."""
    name = f"{namespace}-{app}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    where = {
        "resourceRules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "objectSelector": {"matchLabels": {"app": app}},
    }
    group = "admissionregistration.k8s.io/v1"
    checks = [{"expression": "false", "message": message}]
    return (
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {"matchConstraints": where, "validations": checks},
        },
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    )
