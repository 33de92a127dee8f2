"""Opens files that people name, and nothing that only looks like one."""

from __future__ import annotations

import errno
import stat
from io import BufferedReader
from pathlib import Path


def opened(path: Path) -> BufferedReader:
    """The file, to read; OSError where that is not possible.

    Opening a pipe waits for ever for whoever writes into it, and a device may never end: neither is opened.
    """
    if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return path.open("rb")
