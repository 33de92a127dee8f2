"""The ApplicationSet of an environment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from devtools.base.open_file import read_file
from devtools.config.settings_file.gitops import GitopsEnvironment
from devtools.gitops.argocd.context import COMPARED, WAVE, Context, argocd_object, destination, finalizers
from devtools.gitops.argocd.spec import PRUNE_OPTIONS, sync_policy
from devtools.gitops.component import LABEL, Component, Object


def application_set(environment: GitopsEnvironment, components: Sequence[Component], context: Context) -> Object:
    """Return the ApplicationSet of an environment's components."""
    spec: Object = {
        "goTemplate": True,
        "goTemplateOptions": ["missingkey=error"],
        "generators": _generators(environment, context),
        "syncPolicy": _set_policy(environment),
    }
    if environment.order == "rolling":
        manual = {"maxUpdate": 0} if environment.sync == "manual" else {}  # updates no Application by itself
        waves = sorted({component.wave for component in components})
        selected = [[{"key": WAVE, "operator": "In", "values": [str(wave)]}] for wave in waves]
        steps = [{"matchExpressions": expressions, **manual} for expressions in selected]
        spec["strategy"] = {"type": "RollingSync", "deletionOrder": "Reverse", "rollingSync": {"steps": steps}}
    spec["template"] = _template(environment, context)
    spec["templatePatch"] = _patch(environment, context)
    return argocd_object("ApplicationSet", f"{context.stack}-{environment.name}", spec)


def _generators(environment: GitopsEnvironment, context: Context) -> list[Object]:
    """Return the git files generator, with one of clusters if labels select them."""
    pattern = context.layout.components(environment.name, "*", "*") / "component.yaml"
    git = {
        "git": {
            "repoURL": context.settings.repository,
            "revision": context.settings.revision,
            "files": [{"path": context.path(pattern)}],
        }
    }
    if not environment.cluster.labels and not context.layout.copies_values:
        return [git]
    if not environment.cluster.labels:
        clusters: Object = {"list": {"elements": [{"cluster": next(iter(destination(environment).values()))}]}}
        return [{"matrix": {"generators": [git, clusters]}}]
    # The first generator's keys win over the second's, which has a `name` and a `project` of its own.
    values = {"cluster": "{{ .nameNormalized }}", "server": "{{ .server }}"}
    clusters = {"clusters": {"selector": {"matchLabels": dict(environment.cluster.labels)}, "values": values}}
    return [{"matrix": {"generators": [git, clusters]}}]


def _set_policy(environment: GitopsEnvironment) -> Object:
    """Return the policy for the Application of a component that is no longer declared.

    By default the set would delete it and everything it deployed, without approval.
    """
    never = {"preserveResourcesOnDeletion": True} if environment.prune == "never" else {}
    return {"applicationsSync": "sync" if environment.prune == "auto" else "create-update", **never}


def _template(environment: GitopsEnvironment, context: Context) -> Object:
    """Return the template, which has only strings."""
    by_labels = bool(environment.cluster.labels)
    cluster = {"server": "{{ .values.server }}"} if by_labels else destination(environment)
    if context.layout.copies_values and not by_labels:
        cluster = dict.fromkeys(cluster, "{{ .cluster }}")
    policy = sync_policy(environment, [])
    del policy["syncOptions"]
    return {
        "metadata": {
            "name": "{{ .values.cluster }}-{{ .application }}" if by_labels else "{{ .application }}",
            **finalizers(environment),
            "annotations": COMPARED,
            "labels": {f"{LABEL}/component": "{{ .name }}", f"{LABEL}/tier": "{{ .tier }}", WAVE: "{{ .wave }}"},
        },
        "spec": {
            "project": "{{ .project }}",
            "destination": {**cluster, "namespace": "{{ .namespace }}"},
            "syncPolicy": policy,
        },
    }


def _text(name: str) -> str:
    return read_file(Path(__file__).with_name(name)).decode()


def _patch(environment: GitopsEnvironment, context: Context) -> str:
    """Return the template patch.

    The template itself can only have strings, so the patch makes lists, booleans and numbers, each by toJson. A key of
    `spec` in component.yaml replaces the result of the other keys.
    """
    options = ".syncOptions"
    for option in PRUNE_OPTIONS[environment.prune]:
        options = f'(append {options} "{option}")'
    replaced = {
        "@REVISION@": json.dumps(context.settings.revision),
        "@REPOSITORY@": json.dumps(context.settings.repository),
        "@OPTIONS@": options,
        "@HELM_ROOT@": _helm("/", 4),
        "@HELM_REF@": _helm("$values/", 6),
    }
    text = _text("template_patch.yaml.tmpl")
    for word, by in replaced.items():
        text = text.replace(word, by)
    return text


def _helm(prefix: str, columns: int) -> str:
    """Return the options of Helm at an indentation; actions stay at the start of a line."""
    lines = _text("template_patch_helm.yaml.tmpl").replace("@PREFIX@", prefix).rstrip("\n").split("\n")
    return "\n".join(line if line.startswith("{{-") else " " * columns + line for line in lines)
