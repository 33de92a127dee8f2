"""A git repository of a directory, for tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ENVIRON = {
    **{f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}
ENVIRON = {**_ENVIRON, "PATH": os.environ.get("PATH", "")}


def git(root: Path, *words: str) -> str:
    """Run git in a directory and return what it prints."""
    done = subprocess.run(["git", *words], cwd=root, env=ENVIRON, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path, message: str = "change") -> str:
    """Commit everything, in a repository that is made if there is none; returns the commit."""
    if not (root / ".git").exists():
        git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")
