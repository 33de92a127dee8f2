"""The git commands that read an older version of a directory (https://git-scm.com/docs)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devtools.process.runner import Command

_SLOW = 120.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """One git program in one directory of a checkout, not necessarily its top."""

    program: Path
    directory: Path

    def commit_of(self, ref: str) -> Command:
        """Print the commit that `ref` names; fails silently if there is none."""
        return self._command("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")

    def listing(self, commit: str, *paths: str) -> Command:
        """Print those of the paths, relative to the directory, that `commit` contains."""
        return self._command("ls-tree", "--name-only", commit, *paths)

    def archive(self, commit: str, paths: Iterable[str], to: Path) -> Command:
        """Write the files that match the path specifications, as of `commit`, into a tar archive.

        An archive, because buf would clone a repository, which fails for linked worktrees and shallow clones.
        """
        return self._command("archive", "--format=tar", f"--output={to}", commit, *paths)

    def _command(self, *words: str) -> Command:
        return Command(argv=(str(self.program), *words), cwd=self.directory, timeout=_SLOW)
