"""Finds the tasks on a command line that get a layer as a bare word: `invoke plan --env dev 40 --output json`.

invoke supports required positional arguments, but no optional ones. So this module parses the command line as invoke
will (`ParseMachine` in its `parser/parser.py`), and makes the argument positional if it is present.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit
from invoke.parser.context import ParserContext
from invoke.tasks import Task

if TYPE_CHECKING:
    from invoke.collection import Collection

AnyTask = Task[Any]
_NEAR = 0.6  # minimum similarity of suggested names
_CONFIG = 2  # as `devtools.errors.ExitCode`


@dataclass(slots=True)
class _Mention:
    """A task on the command line, and how far its arguments are read."""

    task: AnyTask
    flags: ParserContext
    left: int = field(init=False)  # number of required bare words that are missing
    bare: bool = False  # it has one more
    waits: bool = False  # the last flag's value comes next

    def __post_init__(self) -> None:
        self.left = len(self.flags.missing_positional_args)

    @property
    def may_be_bare(self) -> bool:
        """Whether a layer may follow it."""
        return any(argument.name == "name" for argument in self.flags.args.values())

    def takes(self, word: str) -> bool:
        """Return whether a word is this task's for sure, were it the next task's name or not."""
        flag, equals, _ = word.partition("=")
        known = self.flags.flags
        if word in known or word in self.flags.inverse_flags:
            self.waits = word in known and known[word].takes_value
            self.left = max(0, self.left - (word in known and known[word].positional))
        elif self.waits:
            self.waits = False
        elif equals and flag in known:
            self.left = max(0, self.left - known[flag].positional)
        elif word[:2] in known and not word.startswith("--"):
            pass  # -lteam=core, with its value
        elif self.left:
            self.left -= 1
        else:
            return False
        return True


def has_positional(task: AnyTask, words: Sequence[str], root: Collection) -> bool:
    """Return whether each mention of a task is followed by one bare word that can only be meant for it.

    That is: no flag, no flag's value and no task of `root`. What follows something that is not known is not looked at:
    invoke refuses it.
    """
    mentions = [mention for mention in _read(words, _tasks(root))[0] if mention.task is task]
    return bool(mentions) and all(mention.bare for mention in mentions)


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether a task is followed by --help, which invoke would take for the argument that the task needs."""
    before = [*words[: words.index("--")]] if "--" in words else [*words]
    return not {"--help", "-h"}.isdisjoint(before)


def refuse_unknown(words: Sequence[str], root: Collection) -> None:
    """Raise Exit with near names for a word that can only be the name of a task, and is none.

    invoke itself names none; what begins with `-` is left to it.
    """
    tasks = _tasks(root)
    word = _read(words, tasks)[1]
    if not word:
        return
    known = {name.rpartition(".")[2]: name for name in sorted(tasks, reverse=True)}
    found = [name for name in sorted(tasks) if name.rpartition(".")[2] == word]
    if "." not in word:
        found = found or [*map(known.__getitem__, difflib.get_close_matches(word, known, n=1, cutoff=_NEAR))]
    found = found or difflib.get_close_matches(word, tasks, n=1, cutoff=_NEAR)
    near = f"did you mean {' or '.join(f'invoke {name}' for name in found)}?" if found else "invoke --list"
    raise Exit(f"error: unknown task '{word}'\n  hint: {near}", code=_CONFIG)


def refuse_incomplete(words: Sequence[str], root: Collection) -> None:
    """Raise Exit for a task of ours that lacks an argument which it needs; invoke itself does not say what that is."""
    tasks = _tasks(root)
    for mention in _read(words, tasks)[0]:
        if mention.left > 0 and hasattr(mention.task, "reads") and not mention.waits:
            argument = mention.flags.missing_positional_args[-mention.left]
            name = next(name for name, task in tasks.items() if task is mention.task)
            raise Exit(
                f"error: {name} needs {str(argument.name).upper()}: {argument.help}\n  hint: invoke --help {name}",
                code=_CONFIG,
            )


def _read(words: Iterable[str], tasks: Mapping[str, AnyTask]) -> tuple[list[_Mention], str]:
    """Return the tasks on a command line, and the first word that is no task's and no task, empty if there is none.

    What follows that word, or the first odd flag, is not read.
    """
    mentions: list[_Mention] = []
    for word in words:
        last = mentions[-1] if mentions else None
        if word == "--":
            break
        if last and last.takes(word):
            continue
        if word in tasks:
            mentions.append(_Mention(tasks[word], _flags(tasks[word])))
        elif word.startswith("-") or not word:
            break
        elif last and not last.bare and last.may_be_bare:
            last.bare = True
        else:
            return mentions, word
    return mentions, ""


def _tasks(root: Collection) -> dict[str, AnyTask]:
    """Return every task by each of its names."""
    return {name: root[first] for first, others in root.task_names.items() for name in (first, *others)}


def _flags(task: AnyTask) -> ParserContext:
    """Return a task's flags, as it declares them; reading them uses up its help, so a copy is read."""
    probe = copy.copy(task)
    probe.help = dict(task.help)
    return ParserContext(name="probe", args=Task.get_arguments(probe, ignore_unknown_help=True))
