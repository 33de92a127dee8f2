"""README and docs: links lead somewhere, commands exist, files that are named are there."""

from __future__ import annotations

import functools
import re
import shlex
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser
from invoke.parser.context import ParserContext
from invoke.program import Program

from devtools.tasks import namespace

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PATHS = re.compile(
    r"(?<![\w/.<>~-])((?:scripts|layers|charts|environments|simulation|docs|tests|devtools|tools|requirements|changelog\.d)"
    r"/[\w./-]*[\w/])(?![\w<>*…{-])"
)
# What a page tells the reader to make, or shows as an example of somebody else's repository.
MADE_BY_THE_READER = re.compile(
    r"^(layers/(NN-name|45-search|40-data\.yaml)|tests/test_tiltfile.py|environments/_shared/environment.yaml"
    r"|charts/(manifests|kustomize)(/|$))"
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def commands(text: str) -> list[str]:
    """Every `invoke …` that a page shows: in code, after a prompt, or between backticks; comments are cut off."""
    found = re.findall(r"`(?:\.venv/bin/)?(invoke [^`\n]+)`", without_code(text))
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        found += re.findall(r"^(?:\$ )?(?:\.venv/bin/)?(invoke [^\n]+)", block, flags=re.MULTILINE)
    whole = [re.split(r"\s+#|\s+[|>]|\s+&&", command)[0].strip() for command in found]
    return [command for command in whole if "…" not in command and command != "invoke"]


def _parser(*words: str) -> Parser:
    """The parser of a program with the tasks among these words: it copies all it has for each command line."""
    with patch.object(sys, "argv", ["invoke", *words]):  # says which word may follow a task without a flag
        contexts = [
            ParserContext(name=name, aliases=aliases, args=namespace[name].get_arguments())
            for name, aliases in namespace.task_names.items()
            if {name, *aliases} & {*words}
        ]
    return Parser(contexts=contexts, initial=_initial())


@functools.cache
def _initial() -> Any:
    return Program(namespace=namespace).initial_context


def complaint(command: str) -> str:
    """What the tasks' own parser has against a command; empty where it can be typed."""
    words = shlex.split(re.sub(r"\b(NAME|RELEASE|DIR)\b", "x", command))[1:]
    if words[0] in {"--help", "--list"} or (len(words) == 1 and not words[0].startswith("-")):
        # help on a task, or a task that is only spoken of
        known = {*namespace.task_names, *(alias for more in namespace.task_names.values() for alias in more)}
        return "" if {*words} - {"--help", "--list", "TASK"} <= known else "no such task"
    try:
        _parser(*words).parse_argv(words)
    except ParseError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_shown_can_be_typed(page: Path) -> None:
    shown = commands(page.read_text(encoding="utf-8"))
    assert not [f"{command}: {printed}" for command in shown if (printed := complaint(command))]


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for command in ("invoke leyer 40", "invoke leyer", "invoke layer 40 --dryrun", "invoke --help leyer"):
        assert complaint(command), command
    assert not complaint("invoke layer 40 --dry-run")
    assert commands("type `invoke plan --name 40` or\n```\n$ invoke up  # all\n```\n") == [
        "invoke plan --name 40",
        "invoke up",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = set(PATHS.findall(page.read_text(encoding="utf-8")))
    missing = [
        name
        for name in sorted(named)
        if not MADE_BY_THE_READER.match(name) and not (ROOT / name).exists() and not list(ROOT.glob(f"{name}*"))
    ]
    assert not missing


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))


def test_the_readme_does_not_promise_what_is_not_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    scripts = set(re.findall(r"\bscripts/[\w./-]+", text))
    assert len(text.splitlines()) <= 200
    assert {"scripts/up", "scripts/test"} <= scripts
    assert "cannot share an environment" in text
