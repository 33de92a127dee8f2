"""The table of rules in the documentation; run as a module, this writes it."""

from __future__ import annotations

from pathlib import Path

from devtools.gitops.verify import RULES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "gitops-verify.md"
START, END = "<!-- rules -->\n", "<!-- /rules -->"


def page() -> str:
    """The page with the table as it must be."""
    head, _, rest = PAGE.read_text().partition(START)
    rows = [f"| `{name}` | {rule.engine} | {rule.effect} | {rule.fix} |\n" for name, rule in sorted(RULES.items())]
    table = "".join(["| rule | for | without it | what to do |\n", "|---|---|---|---|\n", *rows])
    return f"{head}{START}{table}{rest[rest.index(END) :]}"


def test_the_table_has_every_rule() -> None:
    assert PAGE.read_text() == page()


if __name__ == "__main__":
    PAGE.write_text(page())
