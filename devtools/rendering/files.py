"""Turns a rendered release into files: one for each object, named by its kind and name. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.diff.difference import ABSENT, changes, value_at
from devtools.diff.effects import CRD
from devtools.diff.managed_fields import Steps
from devtools.model import Release
from devtools.redaction import HIDDEN, Redactor
from devtools.redaction.origin import unmarked
from devtools.rendering.steps import StepRendering

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_Object = Mapping[str, Any]


def files_of(
    release: Release, rendering: StepRendering, values: Mapping[str, Any] | None, redactor: Redactor | None
) -> dict[PurePosixPath, bytes]:
    """Return the files of a release by their paths: objects, `hooks/`, `crds/`, and `values.yaml` unless None.

    With a `redactor`, secrets and values that differ at each rendering are hidden: the same inputs give the same bytes.
    """
    root = PurePosixPath(release.layer, f"{release.namespace}_{release.name}")
    files: dict[PurePosixPath, bytes] = {}
    for folder, item in _shown(rendering, redactor):
        path = root / folder / _name(item, release)
        while path in files:
            path = path.with_name(f"{path.stem}_2.yaml")
        files[path] = yaml_text(item).encode()
    if values is not None:
        files[root / "values.yaml"] = yaml_text(redactor.hide(values) if redactor else unmarked(values)).encode()
    return files


def _shown(rendering: StepRendering, redactor: Redactor | None) -> Iterator[tuple[str, _Object]]:
    """Yield every object with its folder, without values that may not be shown."""
    rendered, again = rendering.rendered, rendering.again
    found = [("", item) for item in (rendered.objects if rendered else ())]
    found += [("hooks", hook.object) for hook in (rendered.hooks if rendered else ())]
    second = [*(again.objects if again else ()), *(hook.object for hook in (again.hooks if again else ()))]
    for at, (folder, item) in enumerate(found):
        varying = changes(item, second[at], "") if at < len(second) else ()
        yield folder, _hidden(item, (change.steps for change in varying), redactor) if redactor else item
    yield from (("crds", item.data) for item in rendering.crds)


def _hidden(item: _Object, varying: Iterable[Steps], redactor: Redactor) -> _Object:
    """Return an object without secrets and without values that differ at each rendering."""
    if item.get("kind") == CRD:
        return item
    body: dict[str, Any] = copy.deepcopy(dict(item))
    for steps in varying:
        _blank(body, steps)
    for part in ("data", "stringData") if item.get("kind") == "Secret" else ():
        if isinstance(body.get(part), dict):
            body[part] = dict.fromkeys(body[part], HIDDEN)
    shown: _Object = redactor.hide(body)
    return shown


def _blank(body: Any, steps: Steps) -> None:
    """Hide the value at a path, or the value around it if the path is not found."""
    for number, step in enumerate(steps):
        below = value_at(body, (step,))
        if below is None or below is ABSENT:
            return
        if number < len(steps) - 1 and isinstance(below, dict | list):
            body = below
        elif isinstance(body, dict):
            body[step] = HIDDEN
            return
        else:
            body[next(at for at, item in enumerate(body) if item is below)] = HIDDEN
            return


def _name(item: _Object, release: Release) -> str:
    """Return the name of an object's file: `deployment_web.yaml`, with its namespace if that is not the release's."""
    metadata = item.get("metadata") or {}
    namespace = str(metadata.get("namespace") or release.namespace)
    parts = [str(item.get("kind", "")).lower(), *([namespace] if namespace != release.namespace else [])]
    parts.append(str(metadata.get("name") or metadata.get("generateName") or "without-name"))
    return _UNSAFE.sub("-", "_".join(parts)) + ".yaml"
