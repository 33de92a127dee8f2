"""Writes digests of images that were pulled for the first time into `images.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.image_names import parse
from devtools.base.open_file import read_source
from devtools.base.yaml_edit import with_scalar
from devtools.base.yaml_positions import parse as parse_yaml
from devtools.errors import EnvironmentFault
from devtools.images.catalog import FILE


def pin(root: Path, digests: Mapping[str, str]) -> tuple[str, ...]:
    """Set `digest` of these images (`name:tag`) if it is null; return the ones it set.

    An entry without the key is not changed: its tag is expected to move. Raises EnvironmentFault if the file cannot be
    written.
    """
    if not digests:
        return ()
    path = root / FILE
    raw, done = read_source(path), []
    data = parse_yaml(raw, FILE).data
    for index, item in enumerate(data.get("images", ())):
        name = str(parse(f"{item['name']}:{item['tag']}"))
        if name not in digests or item.get("digest", "") is not None:
            continue
        changed = with_scalar(raw, FILE, ("images", index, "digest"), digests[name])
        if changed is not None:
            raw = changed
            done.append(name)
    try:
        if done:
            write_whole(path, raw, lasting=True)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {FILE}: {error.strerror or error}") from error
    return tuple(done)
