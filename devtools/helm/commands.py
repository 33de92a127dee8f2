"""Helm 4: builds its commands and parses its answers.

Flags and outputs: https://helm.sh/docs/helm/ for 4.x. devtools waits itself (`--wait=hookOnly`): Helm's watcher
neither reports what it waits for nor gives up on an object that cannot become ready.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.machine_yaml import read_documents
from devtools.errors import DevtoolsError
from devtools.model import ObjectRef, ReleaseId
from devtools.process.runner import Command

# Garbage collection takes a quarter of helm's CPU time, and helm ends soon: collect only above a memory limit.
BRIEF = {"GOGC": "off", "GOMEMLIMIT": "256MiB"}
MEMORY = 2 * 1024**3  # bytes of memory that a helm may use: the largest of 22 real charts takes a seventh of it
_LOCAL = 300.0  # seconds for commands that take a moment: a busy machine may need many times as long
_HOOK = "helm.sh/hook"
# Only server-side apply knows conflicts; a release that Helm 3 made does not use it yet.
_TAKE = ("--take-ownership", "--force-conflicts", "--server-side=true")
# Helm installs by server-side apply, which itself refuses fields that are in no schema, in the same words. The check
# only asks whether the server supports it: two OpenAPI documents, a third of the time of a small release.
_FIRST = ("--disable-openapi-validation",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """One helm program against one cluster; context and kubeconfig are in every command it builds."""

    program: Path
    kubeconfig: Path
    context: str
    env: Mapping[str, str] = field(default_factory=dict)  # of every command

    def upgrade(
        self,
        release: ReleaseId,
        chart: Path,
        *,
        timeout: float,
        history: int,
        labels: Mapping[str, str],
        take: bool = False,
        first: bool = False,
    ) -> Command:
        """Install or upgrade and print the release as JSON; wait for hooks only, and leave `crds/` alone.

        It reads the values from stdin, late: by then it has read the release's history and changed nothing.
        `take` takes over fields of other field managers, and objects of no release. Without it both are refused.
        `first` says that the release does not exist yet.
        """
        pairs = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return self._command(
            ("upgrade", release.name, str(chart), "--install", "--skip-crds"),
            ("--namespace", release.namespace, "--values", "-", "--reset-values"),
            ("--wait=hookOnly", "--timeout", _seconds(timeout), "--history-max", str(history)),
            ("--labels", pairs, "--output", "json"),
            (*(_TAKE if take else ()), *(_FIRST if first else ())),
            timeout=timeout + 30,
        )

    def template(
        self,
        release: ReleaseId,
        chart: Path,
        values: Path,
        *,
        kube_version: str = "",
        api_versions: Sequence[str] = (),
        upgrade: bool = False,
        crds: bool = True,
    ) -> Command:
        """Render without a cluster; templates see these versions, and an install unless `upgrade` is set."""
        version = ("--kube-version", kube_version) if kube_version else ()
        served = ("--api-versions", ",".join(api_versions)) if api_versions else ()
        return Command(
            argv=(
                *(str(self.program), "template", release.name, str(chart), *(("--include-crds",) if crds else ())),
                *("--namespace", release.namespace, "--values", listed(values), *version, *served),
                *(("--is-upgrade",) if upgrade else ()),
            ),
            env={**BRIEF, **self.env},
            timeout=_LOCAL,
            memory=MEMORY,
        )

    def lint(self, chart: Path) -> Command:
        """Lint a chart's directory with the values from stdin."""
        return Command(
            argv=(str(self.program), "lint", str(chart), "--values", "-"), env={**BRIEF, **self.env}, timeout=_LOCAL
        )

    def rehearse(self, release: ReleaseId, chart: Path, *, take: bool = False) -> Command:
        """Print the release that `upgrade` would make as JSON and change nothing; reads the values from stdin."""
        return self._command(
            ("upgrade", release.name, str(chart), "--install", "--skip-crds", "--dry-run=server"),
            ("--namespace", release.namespace, "--values", "-", "--reset-values", "--output", "json"),
            (*(_TAKE if take else ()), *_FIRST),
            timeout=_LOCAL,
        )

    def uninstall(self, release: ReleaseId, *, timeout: float) -> Command:
        """Delete a release's objects, waiting for its hooks only; not an error if the release is absent."""
        return self._command(
            ("uninstall", release.name, "--namespace", release.namespace),
            ("--ignore-not-found", "--cascade=background", "--wait=hookOnly", "--timeout", _seconds(timeout)),
            timeout=timeout + 30,
        )

    def rollback(self, release: ReleaseId, revision: int, *, timeout: float) -> Command:
        """Roll back to a revision."""
        return self._command(
            ("rollback", release.name, str(revision), "--namespace", release.namespace),
            ("--wait=hookOnly", "--timeout", _seconds(timeout)),
            timeout=timeout + 30,
        )

    def test(self, release: ReleaseId, test: str, *, timeout: float) -> Command:
        """Run one test hook by itself, because the first failed hook would stop the others (helm/helm#12003)."""
        return self._command(
            ("test", release.name, "--namespace", release.namespace),
            ("--filter", f"name={test}", "--timeout", _seconds(timeout)),
            timeout=timeout + 15,
        )

    def hooks(self, release: ReleaseId) -> Command:
        """Print the manifests of the deployed revision's hooks."""
        return self._command(("get", "hooks", release.name, "--namespace", release.namespace), timeout=_LOCAL)

    def _command(self, *words: tuple[str, ...], timeout: float) -> Command:
        """Return arguments with the options that name the cluster."""
        where = ("--kubeconfig", str(self.kubeconfig), "--kube-context", self.context)
        flat = tuple(word for group in words for word in group)
        argv = (str(self.program), *flat, *where, "--color", "never")
        return Command(argv=argv, env={**BRIEF, **self.env}, timeout=timeout, memory=MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The result of `upgrade --output json`."""

    revision: int
    objects: tuple[ObjectRef, ...]


def parse_upgrade(stdout: str, namespace: str) -> Deployed:
    """Parse the output of `upgrade --output json`; raise DevtoolsError if it is anything else.

    The document holds values and manifest, secrets included: it is never logged.
    """
    try:
        document = read_json(stdout[stdout.index("{") :])  # warnings may come first
        manifest, revision = document.get("manifest") or "", int(document["version"])
        objects = parse_manifest(str(manifest), namespace)
    except (ValueError, KeyError, TypeError, OverflowError, DevtoolsError) as error:
        raise DevtoolsError("helm's output is not a release") from error
    return Deployed(revision=revision, objects=objects)


def parse_manifest(text: str, namespace: str) -> tuple[ObjectRef, ...]:
    """Return the objects of a rendered manifest without hooks; only the API server knows which kinds are namespaced.

    Raises DevtoolsError if it is not YAML.
    """
    return tuple(ref_of(item, namespace) for item in documents(text) if not hook_events(item))


def parse_tests(text: str) -> tuple[dict[str, Any], ...]:
    """Return the complete manifests of the test hooks from `get hooks`.

    Each has a kind and a name, and its spec, if any, is a map. Raises DevtoolsError if they are not YAML, or if one
    could never be run.
    """
    found = tuple(item for item in documents(text) if {"test", "test-success"} & set(hook_events(item)))
    for item in found:
        kind, name, spec = item["kind"], (item.get("metadata") or {}).get("name"), item.get("spec") or {}
        if not (isinstance(kind, str) and isinstance(name, str) and name and isinstance(spec, dict)):
            raise DevtoolsError(f"a test hook is not a Kubernetes object with a name: {kind} {name or 'without one'}")
    return found


def documents(text: str) -> Iterable[dict[str, Any]]:
    """Yield the objects of a multi-document YAML text, including the items of each `List`.

    Their metadata, labels and annotations, if any, are maps. Raises DevtoolsError if one is not, or for invalid YAML.
    """
    try:
        for document in read_documents(text):
            if not isinstance(document, dict) or "kind" not in document:
                continue
            if document["kind"] == "List" and isinstance(document.get("items"), list):
                yield from (_checked(item) for item in document["items"] if isinstance(item, dict) and "kind" in item)
            else:
                yield _checked(document)
    except ValueError as error:
        raise DevtoolsError(f"the rendered manifest is not YAML: {error}") from error


def missing_kinds(text: str) -> tuple[str, ...]:
    """Return the kinds that the cluster lacks by helm's error message, as `Widget of example.com/v1`."""
    found = re.findall(r'no matches for kind "([^"]+)" in version "([^"]+)"', text)
    return tuple(dict.fromkeys(f"{kind} of {version}" for kind, version in found))


def _checked(item: dict[str, Any]) -> dict[str, Any]:
    """Return the object; raise DevtoolsError if no API server would accept its metadata."""
    metadata = item.get("metadata") or {}
    parts = (metadata, *(metadata.get(key) or {} for key in ("labels", "annotations") if isinstance(metadata, dict)))
    if not all(isinstance(part, dict) for part in parts):
        raise DevtoolsError(
            f"the rendered manifest is not a Kubernetes object: metadata of a {item['kind']} is not a map"
        )
    return item


def ref_of(item: Mapping[str, Any], namespace: str) -> ObjectRef:
    """Return the reference of one of `documents`; `namespace` is the release's, used if the object names none."""
    metadata = item.get("metadata") or {}
    where, name = str(metadata.get("namespace") or namespace), str(metadata.get("name", ""))
    return ObjectRef(str(item.get("apiVersion", "")), str(item["kind"]), where, name)


def annotations_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations of one of `documents`."""
    return (item.get("metadata") or {}).get("annotations") or {}


def hook_events(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the events at which Helm creates one of `documents`; none if it is not a hook."""
    found = annotations_of(item).get(_HOOK)
    return () if found is None else tuple(re.split(r"\s*,\s*", str(found).strip()))


def listed(path: Path) -> str:
    """Quote a path as CSV, for a flag that takes several separated by commas."""
    text = str(path)
    return '"' + text.replace('"', '""') + '"' if {",", '"'} & set(text) else text


def _seconds(value: float) -> str:
    """Return seconds as a Go duration."""
    return f"{max(1, round(value))}s"
