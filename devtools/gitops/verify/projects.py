"""Rules for AppProjects: fields of Applications that they forbid."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any

from devtools.gitops.kinds import BUILTIN
from devtools.gitops.tree.applications import ARGO, plain_url
from devtools.gitops.tree.read import KubeObject, mapping, maps, sequence
from devtools.gitops.verify.applications import Application, World, clusters_of
from devtools.gitops.verify.argocd import objects_of
from devtools.gitops.verify.finding import Finding, finding

IN_CLUSTER = "in-cluster"
_CLUSTER_KINDS = frozenset(item.kind for item in BUILTIN.values() if not item.namespaced) | {
    *("ClusterIssuer", "ClusterSecretStore", "GatewayClass", "VolumeSnapshotClass")
}


def findings(world: World) -> Iterator[Finding]:
    """Yield all findings about Applications that the projects of a tree forbid."""
    projects = {item.name: item for item in world.tree.of("AppProject", ARGO)}
    for application in world.applications:
        name = str(application.spec.get("project") or "default")
        project = projects.get(name)
        if project is None:
            if projects and name != "default":
                where = application.at("spec", "project", value=name)
                yield finding("project-missing", where, f"AppProject {name} of {application.name} is not in the tree")
            continue
        yield from _sources(application, project)
        yield from _destination(world, application, project)
        yield from _kinds(world, application, project)


def _sources(application: Application, project: KubeObject) -> Iterator[Finding]:
    permitted = [str(one) for one in sequence(project.spec, "sourceRepos")]
    for path, source in application.sources:
        url = str(source.get("repoURL") or "")
        denied = any(_is_repository(one[1:], url) for one in permitted if one.startswith("!"))
        if denied or not any(_is_repository(one, url) for one in permitted if not one.startswith("!")):
            where = application.at(*path, "repoURL", value=url)
            yield finding("source-not-permitted", where, f"project {project.name} forbids the source {url}")


def _is_repository(pattern: str, url: str) -> bool:
    """Return whether a pattern of sourceRepos is a URL's; `*` alone is every URL, otherwise it stops at slashes."""
    if pattern == "*":
        return True
    text = re.escape(plain_url(pattern)).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.fullmatch(text, plain_url(url)) is not None


def _destination(world: World, application: Application, project: KubeObject) -> Iterator[Finding]:
    destination = mapping(application.spec, "destination")
    name, server = _cluster(world, str(destination.get("name") or ""), str(destination.get("server") or ""))
    namespace = str(destination.get("namespace") or "")
    permitted = maps(project.spec, "destinations")
    if not any(_permits(one, name, server, namespace) for one in permitted) or any(
        _denies(one, name, server, namespace) for one in permitted
    ):
        where = application.at("spec", "destination", "namespace", value=namespace)
        message = f"project {project.name} forbids namespace {namespace} on {name or server}"
        yield finding("destination-not-permitted", where, message)


def _cluster(world: World, name: str, server: str) -> tuple[str, str]:
    """Return name and server of a destination; one of them is empty if the tree does not define it."""
    secrets = [mapping(item.data, "stringData") for item in clusters_of(world.tree)]
    known = [(IN_CLUSTER, "https://kubernetes.default.svc")]
    known += [(str(data.get("name") or ""), str(data.get("server") or "")) for data in secrets]
    found = next((one for one in known if (name and name == one[0]) or (server and server == one[1])), (name, server))
    return found if name or server else (IN_CLUSTER, known[0][1])


def _permits(entry: Mapping[str, Any], name: str, server: str, namespace: str) -> bool:
    """Return whether an entry permits a destination; an unknown name or server matches."""
    if not _glob(entry.get("namespace"), namespace):
        return False
    by_name = _glob(entry.get("name"), name) if name or not entry.get("name") else True
    by_server = _glob(entry.get("server"), server) if server or not entry.get("server") else True
    return bool((entry.get("name") and by_name) or (entry.get("server") and by_server))


def _denies(entry: Mapping[str, Any], name: str, server: str, namespace: str) -> bool:
    """Return whether an entry with `!` forbids a destination."""
    pairs = ((entry.get("name"), name), (entry.get("server"), server), (entry.get("namespace"), namespace))
    return any(str(pattern or "").startswith("!") and not _glob(pattern, value) for pattern, value in pairs if value)


def _glob(pattern: Any, value: str) -> bool:
    text = str(pattern or "")
    if text.startswith("!"):
        return not fnmatch.fnmatchcase(value, text[1:])
    return bool(text) and fnmatch.fnmatchcase(value, text)


def _kinds(world: World, application: Application, project: KubeObject) -> Iterator[Finding]:
    checked: set[tuple[str, str]] = set()
    if "CreateNamespace=true" in application.options:
        checked.add(("", "Namespace"))
        if not _permits_kind(project, "", "Namespace", cluster=True):
            where = application.at("spec", "syncPolicy", "syncOptions", value="CreateNamespace=true")
            message = f"{application.name} creates its namespace, but project {project.name} does not allow Namespace"
            yield finding("kind-not-permitted", where, message)
    for _, source in application.sources:
        for item in objects_of(world, source):
            key = (item.group, item.kind)
            if key in checked:
                continue
            checked.add(key)
            if not _permits_kind(project, *key, cluster=item.kind in _CLUSTER_KINDS):
                message = f"{item.kind} of {application.name} is not allowed by project {project.name}"
                yield finding("kind-not-permitted", item.at("kind"), message)


def _permits_kind(project: KubeObject, group: str, kind: str, *, cluster: bool) -> bool:
    """Return whether a kind is allowed: cluster kinds must be listed, namespaced ones are allowed unless denied."""
    scope = "clusterResource" if cluster else "namespaceResource"
    allowed, denied = project.spec.get(f"{scope}Whitelist"), project.spec.get(f"{scope}Blacklist")

    def lists(entries: Any) -> bool:
        patterns = ((str(one.get("group", "")), str(one.get("kind", ""))) for one in maps(entries))
        return any(fnmatch.fnmatchcase(group, one) and fnmatch.fnmatchcase(kind, other) for one, other in patterns)

    return not lists(denied) and (not cluster if allowed is None else lists(allowed))
