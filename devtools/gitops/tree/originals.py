"""Value files as they are on this disk: what they hold, for layouts that copy them, and whether SOPS encrypted them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from devtools.base.open_file import read_source
from devtools.errors import ConfigError
from devtools.gitops.component import Component, Place, ValueFile

_SOPS = re.compile(rb"^sops:\s*$.*^\s+mac: [\"']?ENC\[", re.MULTILINE | re.DOTALL)


def with_originals(
    components: Mapping[str, Sequence[Component]], place: Place, root: Path
) -> dict[str, tuple[Component, ...]]:
    """Return components whose value files hold what is on disk below the stack's root; each file is read once."""
    read: dict[PurePosixPath, bytes] = {}

    def filled(file: ValueFile) -> ValueFile:
        if file.content is not None:
            return file
        if file.path not in read:
            path = root / file.path.relative_to(place.root)
            try:
                read[file.path] = read_source(path)
            except OSError as error:
                raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="correct its mode") from error
        original = read[file.path]
        return replace(file, original=original, encrypted=bool(_SOPS.search(original)))

    return {
        name: tuple(replace(item, value_files=tuple(map(filled, item.value_files))) for item in items)
        for name, items in components.items()
    }
