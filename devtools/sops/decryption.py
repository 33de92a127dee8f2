"""Decrypts files of encrypted values with the `sops` program, into memory only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_source, relative
from devtools.base.yaml_positions import parse
from devtools.errors import EnvironmentFault, Interrupted, Location, Problem, TimedOut
from devtools.process.runner import Command, Runner
from devtools.redaction.origin import marked
from devtools.sops.encrypted_file import recipients

TIMEOUT = 60.0  # seconds: a key service may be far away
_LARGEST = 64 * 2**20  # maximum bytes of decrypted values
_NO_KEY, _CHANGED, _NO_MAC = 128, 51, 52  # exit codes of sops


@dataclass(frozen=True, slots=True, kw_only=True)
class Decrypted:
    """A file's values, or why it cannot be decrypted. Every value is marked as secret."""

    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: Problem | None = None
    has_key: bool = True  # a key of its recipients is available


@dataclass(frozen=True, slots=True, kw_only=True)
class Decryption:
    """Decrypts with one sops program; `env` is added to its environment."""

    program: Path
    runner: Runner
    root: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def each(self, files: Sequence[Path]) -> dict[Path, Decrypted]:
        """Decrypt files, several in parallel; raises Interrupted, TimedOut or EnvironmentFault."""
        with ThreadPoolExecutor(max(1, min(len(files), os.cpu_count() or 1, 8)), thread_name_prefix="sops") as pool:
            return dict(zip(files, pool.map(self.one, files), strict=True))

    def one(self, file: Path) -> Decrypted:
        """Decrypt one file: sops reads it, and writes the values to a pipe."""
        shown = relative(file, self.root)
        argv = (str(self.program), "--decrypt", "--input-type", "yaml", "--output-type", "json", str(file))
        command = Command(argv=argv, env=self.env, cwd=self.root, timeout=TIMEOUT, keep=_LARGEST)
        result = self.runner.run(command)
        if result.cancelled:
            raise Interrupted("sops was interrupted")
        if result.timed_out:
            hint = "does it wait for a passphrase? unlock the key first"
            raise TimedOut(f"sops did not decrypt {shown} within {TIMEOUT:.0f} seconds", hint=hint)
        if not result.ok:
            return _refused(result.returncode, file, shown)
        try:
            data = json.loads(result.stdout)
        except ValueError:
            data = None
        if result.truncated or not isinstance(data, dict):
            hint = "invoke toolchain shows which sops it is"
            raise EnvironmentFault(f"{self.program} printed no values for {shown}", hint=hint)
        return Decrypted(data=marked(data))


def _refused(code: int, file: Path, shown: Path) -> Decrypted:
    """Return why sops failed; its own output is not repeated, because it may contain values."""
    if code == _NO_KEY:
        names = ", ".join(recipients(parse(read_source(file), shown).data)) or "none"
        message = f"cannot be decrypted: no key of its recipients is available ({names})"
        hint = f"set SOPS_AGE_KEY_FILE, or unlock the key; a recipient can add yours: sops updatekeys {shown}"
    elif code in {_CHANGED, _NO_MAC}:
        message = "was changed by something other than sops: its checksum is wrong"
        hint = f"restore it from version control, then edit it with: sops edit {shown}"
    else:
        message = f"cannot be decrypted: sops ended with exit code {code}"
        hint = f"see why: sops decrypt {shown}"
    problem = Problem(where=Location(file=shown), message=message, hint=hint)
    return Decrypted(problem=problem, has_key=code != _NO_KEY)
