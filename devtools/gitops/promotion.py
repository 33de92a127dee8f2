"""Computes the values that a promotion changes, and checks whether it skips an environment; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from devtools.base.yaml_positions import KeyPath
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError
from devtools.redaction import hidden, hidden_at
from devtools.redaction.text import without_secrets
from devtools.upgrades.values import leaves

Part = Literal["chart", "values", "images"]
PARTS: tuple[Part, ...] = ("chart", "values", "images")
_TAGS = frozenset({"tag", "digest", "imagetag"})
_PARTS_OF_IMAGES = frozenset({"repository", "registry", "name"})
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A changed value."""

    path: KeyPath
    value: Any
    before: Any = None
    is_new: bool = False

    def __str__(self) -> str:
        """`image.tag: 1.3.2 → 1.4.0`, without secrets."""
        before = "" if self.is_new else f"{self._shown(self.before)} → "
        return f"{'.'.join(map(str, self.path))}: {before}{self._shown(self.value)}"

    def _shown(self, value: Any) -> str:
        return str(hidden_at(self.path, value, lambda values: hidden(values, without_secrets)))


def source_of(settings: GitopsSettings, source: str, target: str) -> str:
    """Return the environment that `target` is promoted from; ConfigError if `source` is another one."""
    known = settings.environments
    for name in filter(None, (target, source)):
        if name not in known:
            from devtools.config.validate import suggestion

            raise ConfigError(f"environment '{name}' is not exported", hint=suggestion(name, known, "environments"))
    declared = known[target].promoted_from
    if not declared:
        hint = f"say so in devtools.yaml: gitops: {{environments: {{{target}: {{from: {source or 'dev'}}}}}}}"
        raise ConfigError(f"environment '{target}' is not promoted from another one", hint=hint)
    if source and source != declared:
        hint = f"promote from {source} to {declared} first" if _leads(settings, source, declared) else ""
        hint = hint or f"invoke gitops.promote … --from {declared} --to {target}"
        raise ConfigError(f"environment '{target}' is promoted from '{declared}', not from '{source}'", hint=hint)
    return declared


def _leads(settings: GitopsSettings, source: str, target: str) -> bool:
    """Return whether an environment is promoted, through others, from another one."""
    while target:
        target = settings.environments[target].promoted_from
        if target == source:
            return True
    return False


def edits(
    source: Mapping[str, Any],
    target: Mapping[str, Any],
    merged: Mapping[str, Any],
    parts: Collection[Part],
    image_values: Collection[str] = (),
) -> tuple[Edit, ...]:
    """Return the overlay values that promote the source's: values that only the target sets stay.

    `merged` are all values of the source: an image that only the target sets becomes the one that the source runs.
    `image_values` are dotted paths of image tags, besides those with usual names.
    """
    found = [(path, value) for path, value in leaves(source) if _part(path, value, image_values) in parts]
    if "images" in parts:
        ours = {path for path, _ in leaves(source)}
        for path, value in leaves(target):
            if path not in ours and _part(path, value, image_values) == "images":
                found.append((path, _at(merged, path)))
    return tuple(
        Edit(path=path, value=value, before=None if before is _MISSING else before, is_new=before is _MISSING)
        for path, value in found
        # Not by `==`: true is not 1.
        if value is not _MISSING and ((before := _at(target, path)) is _MISSING or repr(before) != repr(value))
    )


def _part(path: KeyPath, value: Any, image_values: Collection[str]) -> Part:
    """Return whether a value is part of an image's name."""
    words = [str(key).lower() for key in path]
    above = words[-2] if len(words) > 1 else ""
    named = words[-1] in _TAGS or (words[-1].endswith("image") and isinstance(value, str))
    named = named or (words[-1] in _PARTS_OF_IMAGES and above.endswith("image"))
    return "images" if named or ".".join(map(str, path)) in image_values else "values"


def _at(data: Any, path: KeyPath) -> Any:
    for key in path:
        if not isinstance(data, Mapping) or key not in data:
            return _MISSING
        data = data[key]
    return data
