"""`invoke gitops.preflight`: checks whether a cluster meets a controller's requirements for an environment."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from devtools.app.environment import App
from devtools.base.machine_yaml import read_yaml
from devtools.commands.gitops.export import Arguments, Made, declared_namespaces, make_export
from devtools.commands.takeover.adopt import controller_for
from devtools.config.values import merge
from devtools.errors import ExitCode
from devtools.gitops.preflight import NAMESPACES, Check, Found, Needs, checks
from devtools.kube.api_errors import FORBIDDEN, NOT_FOUND
from devtools.kube.client import ApiError, Kube
from devtools.report.text import Line, Span, Style

_WORKLOADS = ("deployments", "statefulsets")
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_CLASSES = frozenset({"storageClassName", "storageClass"})
_WITH_VOLUMES = frozenset({"PersistentVolumeClaim", "StatefulSet"})
_TYPE = "argocd.argoproj.io/secret-type"
_STYLES: Mapping[str, Style] = {"ok": "good", "missing": "bad", "unknown": "warn"}
Read = TypeVar("Read")


def preflight(app: App, engine: str, output: str) -> ExitCode:
    """Show the checks; FAILED if something is missing."""
    engine = controller_for(app, engine)
    made = make_export(app, Arguments(engine=engine, environments=(app.environment_name,)))
    cluster = app.provider.find()
    needs = needs_of(app, made, engine)
    result = checks(needs, find(app.client(cluster), needs))
    document = preflight_json(app.environment_name, engine, cluster.context, result)
    app.show(document, _lines, output)
    return ExitCode.FAILED if document["missing"] else ExitCode.OK


def needs_of(app: App, made: Made, engine: Any) -> Needs:
    """Return the requirements of the exported environment."""
    settings = app.settings.gitops
    assert settings is not None, "an export was made"  # noqa: S101 - `make_export` refuses it otherwise
    environment = settings.environments[app.environment_name]
    components = made.components[app.environment_name]
    charts = [component.chart for component in components]
    brought = {(crd.group, crd.kind) for chart in charts for crd in chart.crds}
    used = {kind for chart in charts for kind in chart.custom_kinds}
    names = {component.release.id for component in components}
    stack = made.stacks[app.environment_name]
    values = [
        merge(release, stack.environment, root=stack.root).data for release in stack.releases() if release.id in names
    ]
    return Needs(
        engine=engine,
        images=bool(settings.images) and engine == "flux",
        confirms=environment.prune == "confirm",
        kinds={(kind.api_version, kind.kind) for kind in used if (kind.group, kind.kind) not in brought},
        namespaces={
            release.namespace for release in stack.releases() if release.id in names and not release.create_namespace
        }.difference(declared_namespaces(stack, made.options.charts)),
        storage_classes={name for data in values for name in _class_names(data)},
        volumes=any(_WITH_VOLUMES.intersection(chart.kinds) for chart in charts),
        config=dict(_config(made)) if engine == "argocd" else {},
        secrets=settings.credentials,
        cluster=environment.cluster.name,
    )


def _config(made: Made) -> Iterator[tuple[str, Mapping[str, str]]]:
    for path, content in made.export.files.items():
        if path.name in {"argocd-cm.yaml", "argocd-cmd-params-cm.yaml"}:
            yield path.stem, read_yaml(content)["data"]


def _class_names(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key in _CLASSES and isinstance(value, str) and value not in {"", "-"}:
                yield value
            else:
                yield from _class_names(value)
    elif isinstance(data, list):
        for item in data:
            yield from _class_names(item)


def find(kube: Kube, needs: Needs) -> Found:
    """Inspect the cluster; facts that the user may not read are None."""
    namespace = NAMESPACES[needs.engine]
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    return Found(
        served={(item.api_version, item.kind) for item in kube.served()},
        controllers=_allowed(lambda: dict(_controllers(kube, namespace))),
        namespaces=_allowed(lambda: {str(item["name"]) for item in kube.metadata("/api/v1/namespaces")})
        if needs.namespaces
        else (),
        storage_classes=_allowed(
            lambda: {
                str(item["name"]): (item.get("annotations") or {}).get(_DEFAULT) == "true"
                for item in kube.metadata("/apis/storage.k8s.io/v1/storageclasses")
            }
        ),
        config={name: _data(kube, namespace, name) for name in needs.config},
        secrets=_allowed(lambda: {str(item["name"]) for item in kube.metadata(secrets)}) if needs.secrets else (),
        clusters=_allowed(lambda: set(_clusters(kube, secrets))) if needs.cluster else (),
    )


def _allowed(read: Callable[[], Read]) -> Read | None:
    """Return the result of a read; None if the user has no permission."""
    try:
        return read()
    except ApiError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
        return None


def _controllers(kube: Kube, namespace: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield the workloads of a namespace by name, with their image tag and ready pods."""
    for kind in _WORKLOADS:
        for item in kube.items(f"/apis/apps/v1/namespaces/{namespace}/{kind}"):
            containers = item["spec"]["template"]["spec"]["containers"]
            image = str(containers[0].get("image", "")).partition("@")[0]
            tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else ""
            yield str(item["metadata"]["name"]), (tag, int((item.get("status") or {}).get("readyReplicas") or 0))


def _clusters(kube: Kube, secrets: str) -> Iterator[str]:
    """Yield the names of Argo CD's clusters; nothing else of their Secrets is used."""
    for item in kube.items(secrets, labelSelector=f"{_TYPE}=cluster"):
        yield base64.b64decode((item.get("data") or {}).get("name", "")).decode(errors="replace")


def _data(kube: Kube, namespace: str, name: str) -> Mapping[str, str]:
    found = _allowed(lambda: kube.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}"))
    data: Mapping[str, str] = (found or {}).get("data") or {}
    return data


def preflight_json(environment: str, engine: str, context: str, found: tuple[Check, ...]) -> dict[str, Any]:
    """Return the documented `gitops-preflight` document."""
    return {
        "version": 1,
        "kind": "gitops-preflight",
        "environment": environment,
        "controller": engine,
        "context": context,
        "missing": sum(item.state == "missing" for item in found),
        "checks": [asdict(item) for item in found],
    }


def _lines(document: Mapping[str, Any], _: int) -> list[Line]:
    lines: list[Line] = []
    for item in document["checks"]:
        lines.append((Span(f"{item['state']:<8}", _STYLES[item["state"]]), Span(f"{item['name']}: {item['message']}")))
        if item["hint"]:
            lines.append((Span(f"         {item['hint']}", "dim"),))
    count, name = document["missing"], document["environment"]
    text = (
        f"{count} of {len(document['checks'])} checks failed" if count else f"{document['context']} is ready for {name}"
    )
    return [*lines, (Span(text, "bad" if count else "good"),)]
