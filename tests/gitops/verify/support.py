"""Trees of the verify tests: the good ones, and those with one planted mistake."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devtools.gitops.verify import Finding

CASES = Path(__file__).parent / "cases"
TREES = ("argocd", "flux")


@dataclass(frozen=True)
class Mistake:
    """One change to a good tree, and what verify finds then."""

    data: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.data['tree']}: {self.data['name']}"

    @property
    def finds(self) -> list[str]:
        return sorted(self.data["finds"])

    def plant(self, directory: Path) -> Path:
        """The tree with the mistake."""
        tree = directory / "tree"
        shutil.copytree(CASES / self.data["tree"], tree)
        for name, text in self.data.get("create", {}).items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(text))
        for name in self.data.get("delete", ()):
            (tree / name).unlink()
        for name, pairs in self.data.get("replace", {}).items():
            path = tree / name
            for old, new in pairs:
                assert old in path.read_text(), f"{name} does not have {old!r}"
                path.write_text(path.read_text().replace(old, _filled(new), 1))
        return tree


def mistakes() -> list[Mistake]:
    return [Mistake(data) for data in yaml.load((CASES / "mistakes.yaml").read_text(), yaml.CSafeLoader)]


def shown(findings: Iterable[Finding], tree: Path) -> list[str]:
    """Findings as the cases have them: `rule file:line`."""
    return sorted(f"{one.rule} {one.file.relative_to(tree.resolve())}:{one.line}" for one in findings)


def _filled(text: str) -> str:
    return text.replace("{BIG}", "x" * 300_000)
