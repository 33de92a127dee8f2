"""Finds the line where a key was probably written; helmfile's templates make this uncertain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from devtools.base.open_file import relative

_CALL = r"\{\{(?:-\s*|[^}]*[(|])?\s*"
_IMPURE = re.compile(_CALL + r"(exec|envExec|readFile|readDir|readDirEntries|env|requiredEnv|expandenv|now)\b")
_SECRET = re.compile(_CALL + r"(fetchSecretValue|expandSecretRefs)\b")

_HOOK = re.compile(r"^\s*(?:-\s*)?(?:events:.*\b(prepare|cleanup)\b|-\s*[\"']?(prepare|cleanup)[\"']?\s*$)")


class Places:
    """The texts of state files by path; places are shown from `root`."""

    def __init__(self, texts: Mapping[Path, str], root: Path) -> None:
        """Nothing is read here."""
        self._lines = {path: text.splitlines() for path, text in texts.items()}
        self._root = root

    def shown(self, file: Path, line: int = 0) -> str:
        """Return `file` or `file:line`, with the file relative to the root if it is below it."""
        name = relative(file, self._root)
        return f"{name}:{line}" if line else str(name)

    def of(self, file: Path, release: str, key: str = "") -> str:
        """Return the place of a release or of its key in a file; else the key's first place; else the file."""
        lines = self._lines.get(file, [])
        start = self._find(lines, rf"^[\s-]*name:\s*[\"']?{re.escape(release)}[\"']?\s*(#.*)?$", 0)
        if not key:
            return self.shown(file, start)
        pattern = rf"^[\s-]*{re.escape(key)}:"
        if start and (line := self._find(lines[: self._end(lines, start)], pattern, self._begin(lines, start))):
            return self.shown(file, line)
        return self.shown(file, self._find(lines, pattern, 0) or start)

    def key(self, file: Path, key: str) -> str:
        """Return the first place of a key in a file."""
        return self.shown(file, self._find(self._lines.get(file, []), rf"^[\s-]*{re.escape(key)}:", 0))

    def secret_functions(self) -> Iterator[tuple[str, str]]:
        """Yield the place and the name of each template function that reads a secret."""
        return self._uses(_SECRET)

    def impure_functions(self) -> Iterator[tuple[str, str]]:
        """Yield the place and the name of each template function whose result depends on the machine."""
        return self._uses(_IMPURE)

    def reading_hooks(self) -> Iterator[tuple[str, str]]:
        """Yield the place and the event of each hook that helmfile runs while it reads."""
        return self._uses(_HOOK)

    def has_hooks(self) -> bool:
        """Return whether any file mentions hooks."""
        return any("hooks:" in line for lines in self._lines.values() for line in lines)

    def _uses(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        for file, lines in self._lines.items():
            for number, line in enumerate(lines, 1):
                if match := pattern.search(line):
                    yield self.shown(file, number), match[match.lastindex or 0]

    @staticmethod
    def _find(lines: list[str], pattern: str, start: int) -> int:
        """Return the number of the first line that matches, from 1; 0 if none does."""
        found = re.compile(pattern)
        return next((number for number, line in enumerate(lines, 1) if number > start and found.match(line)), 0)

    @staticmethod
    def _begin(lines: list[str], start: int) -> int:
        """Return the line before the list item that holds a line: its first key may stand before `name`."""
        for number in range(start, 0, -1):
            if lines[number - 1].lstrip().startswith("- "):
                return number - 1
        return 0

    @staticmethod
    def _end(lines: list[str], start: int) -> int:
        """Return the last line of the list item that has its name in a line."""
        begin = Places._begin(lines, start)
        indent = len(lines[begin]) - len(lines[begin].lstrip())
        for number in range(start, len(lines)):
            line = lines[number]
            if line.strip() and not line.lstrip().startswith(("#", "{{")):
                depth = len(line) - len(line.lstrip())
                if depth < indent or (depth == indent and (line.lstrip().startswith("- ") or indent == 0)):
                    return number
        return len(lines)
