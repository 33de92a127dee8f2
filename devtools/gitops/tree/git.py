"""Changes a Git repository on a new branch, without touching the checkout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.atomic_write import private_directory
from devtools.errors import ConfigError, EnvironmentFault
from devtools.process.runner import Command, Runner

_SLOW = 120.0  # seconds
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null")  # variables that belong to the user's own checkout


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A Git repository with a work tree."""

    program: Path
    top: Path
    runner: Runner

    def commit_of(self, ref: str) -> str:
        """Return the commit that a ref names; ConfigError if there is none."""
        found = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if not found:
            raise ConfigError(f"{ref} is not a commit of {self.top}", hint="name a branch, a tag or a commit")
        return found

    def last_change(self, paths: Sequence[str]) -> tuple[str, str]:
        """Return the newest commit that changed one of the paths, and its subject; empty if none did."""
        found = self._run("log", "-1", "--format=%H %s", "--", *paths)
        commit, _, subject = found.partition(" ")
        return commit, subject

    def parent_of(self, commit: str) -> str:
        """Return the commit before another one; empty if it is the first."""
        return self._try("rev-parse", "--verify", "--quiet", f"{commit}^")

    def differing(self, commit: str, paths: Sequence[str]) -> list[str]:
        """Return the files among these paths that differ between HEAD and a commit, from the repository's root."""
        return sorted(filter(None, self._run("diff", "--name-only", "-z", commit, "HEAD", "--", *paths).split("\0")))

    def is_changed(self, paths: Sequence[str]) -> bool:
        """Return whether the work tree has uncommitted changes of these paths."""
        return bool(self._run("status", "--porcelain", "--", *paths))

    def content(self, commit: str, path: str) -> bytes | None:
        """Return a file's text at a commit; None if it is not there."""
        listed = self._run("ls-tree", "--name-only", commit, "--", path)
        return self._run("show", f"{commit}:{path}", strip=False).encode() if listed else None

    def refuse_branch(self, name: str) -> None:
        """Raise ConfigError if a branch cannot be created."""
        if not self._try("check-ref-format", "--branch", name):
            raise ConfigError(f"{name!r} is not a branch name", hint="--branch promote/api")
        if self._try("rev-parse", "--verify", "--quiet", f"refs/heads/{name}"):
            hint = f"delete it (git branch --delete --force {name}) or choose another: --branch NAME"
            raise ConfigError(f"branch {name} exists already", hint=hint)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a temporary work tree of HEAD, which is removed in any case."""
        with private_directory("gitops") as directory:
            tree = Path(directory, self.top.name)  # a stack may be named after its directory
            try:
                self._run(*_NO_HOOKS, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
                yield tree
            finally:
                self.runner.run(self._command("worktree", "remove", "--force", str(tree), cleanup=True))

    def commit_branch(self, tree: Path, branch: str, message: str) -> str:
        """Commit all changes in a scratch work tree to a new branch, and return the commit."""
        there = Repository(program=self.program, top=tree, runner=self.runner)
        there._run("add", "--all")
        there._run(*_NO_HOOKS, "commit", "--quiet", "--file", "-", stdin=message.encode())
        commit = there._run("rev-parse", "HEAD")
        self._run("branch", branch, commit)
        return commit

    def _run(self, *words: str, stdin: bytes | None = None, strip: bool = True) -> str:
        result = self.runner.run(self._command(*words, stdin=stdin))
        if not result.ok:
            words = tuple(word for word in words if word not in _NO_HOOKS)
            raise EnvironmentFault(f"git {words[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout.strip() if strip else result.stdout

    def _try(self, *words: str) -> str:
        return self.runner.run(self._command(*words)).stdout.strip()

    def _command(self, *words: str, **options: Any) -> Command:
        return Command(argv=(str(self.program), *words), cwd=self.top, timeout=_SLOW, **options)
