"""What to type next, and which file to read: a run's last lines, and the names of its logs."""

from __future__ import annotations

import re

from devtools.report.fold import Fold
from devtools.run.events import Verdict

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ENVIRONMENT = re.compile(r"(?:^|\s)(--env(?:=|\s+)\S+|-e\s*\S+)")


def file_name(text: str, longest: int = 120) -> str:
    """`text` as a file name: other characters than letters, digits, `.`, `_` and `-` become `-`."""
    return _UNSAFE.sub("-", text).strip("-.")[:longest] or "unnamed"


def release_log(release: str) -> str:
    """The log of `namespace/name` in the run directory: `namespace_name.log`."""
    return file_name(release.replace("/", "_")) + ".log"


def test_log(release: str, test: str) -> str:
    """The log of a smoke test in the run directory: `namespace_name.test.log`."""
    return f"{file_name(release.replace('/', '_'))}.{file_name(test)}.log"


def again(fold: Fold) -> str:
    """The command that was typed."""
    return f"invoke {fold.run.what}".strip() if fold.run else "invoke up"


def retry_layer(fold: Fold, layer: str, *, only_test: bool = False) -> str:
    """The command that repeats one layer, in the environment that was asked for."""
    typed = _ENVIRONMENT.search(fold.run.what) if fold.run else None
    words = ["invoke layer", layer, "--only-test" if only_test else "", typed[1] if typed else ""]
    return " ".join(word for word in words if word)


def retries(fold: Fold) -> tuple[str, ...]:
    """One command for each layer in which something failed: only its tests where only tests did."""
    broken = {item.layer for item in fold.releases.values() if item.word == "failed"}
    broken |= {item.layer for item in fold.contracts if item.verdict is Verdict.FAILED}
    tests = {item.layer for item in fold.tests.values() if item.verdict is Verdict.FAILED} - broken
    return tuple(
        retry_layer(fold, layer, only_test=layer in tests and layer not in broken) for layer in sorted(broken | tests)
    )


def next_commands(fold: Fold) -> tuple[str, ...]:
    """What to type next, the best first."""
    result = fold.result()
    if result == "interrupted":
        return (again(fold),)
    if result == "failed":
        found = retries(fold)
        return (*found, again(fold)) if found and again(fold) not in found else found or (again(fold),)
    if result == "planned":
        return (" ".join(again(fold).replace("--dry-run", "").split()).replace("invoke plan", "invoke up"),)
    return ("invoke layers",)
