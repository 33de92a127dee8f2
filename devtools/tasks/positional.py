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
_HELP = ("--help", "-h")
_READ: dict[int, tuple[Collection, dict[str, AnyTask]]] = {}  # the tasks of a collection, by its id; keeps it alive
_FLAGS: dict[int, tuple[AnyTask, ParserContext]] = {}  # the flags of a task, likewise


@dataclass(slots=True)
class _Mention:
    """A task on the command line, and how far its arguments are read."""

    name: str
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

    Such a word is not a flag, a flag's value or a task of `root`. Words after an unknown flag or task are not checked,
    because invoke refuses the command line.
    """
    mentions = [mention for mention in _read(words, _tasks(root))[0] if mention.task.body is task.body]
    return bool(mentions) and all(mention.bare for mention in mentions)


def is_help_requested(words: list[str], root: Collection, named: object = None) -> bool:
    """Return whether the help of a task is requested, and if so, cut the words down to the task and --help.

    invoke would treat --help as the task's missing argument, and its arguments as tasks. `named` is the value of
    `--help TASK`.
    """
    before = [*words[: words.index("--")]] if "--" in words else [*words]
    place = next((index for index, word in enumerate(before) if word in _HELP), None)
    if isinstance(named, str):
        words[:] = [named, "--help"]
    elif place is None:
        return False
    elif mentions := _read(before[:place], _tasks(root))[0]:
        words[:] = [mentions[-1].name, "--help"]
    return True


def refuse_unknown(words: Sequence[str], root: Collection) -> None:
    """Raise Exit with similar names for a word that must be the name of a task, and is not.

    invoke itself suggests none; it handles words that begin with `-`.
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
    """Raise Exit for a task of devtools that lacks a required argument; invoke itself does not describe it."""
    tasks = _tasks(root)
    for mention in _read(words, tasks)[0]:
        if mention.left > 0 and hasattr(mention.task, "reads") and not mention.waits:
            argument = mention.flags.missing_positional_args[-mention.left]
            what = f"error: {mention.name} needs {str(argument.name).upper()}: {argument.help}"
            raise Exit(f"{what}\n  hint: invoke --help {mention.name}", code=_CONFIG)


def _read(words: Iterable[str], tasks: Mapping[str, AnyTask]) -> tuple[list[_Mention], str]:
    """Return the tasks on a command line, and the first word that is neither a task nor an argument, or "".

    Words after that word, or after the first unknown flag, are not parsed.
    """
    mentions: list[_Mention] = []
    for word in words:
        last = mentions[-1] if mentions else None
        if word == "--":
            break
        if last and last.takes(word):
            continue
        if word in tasks:
            mentions.append(_Mention(word, tasks[word], _flags(tasks[word])))
        elif word.startswith("-") or not word:
            break
        elif last and not last.bare and last.may_be_bare:
            last.bare = True
        else:
            return mentions, word
    return mentions, ""


def _tasks(root: Collection) -> dict[str, AnyTask]:
    """Return every task by each of its names; read once for a command line, because invoke looks names up slowly."""
    if id(root) not in _READ:
        found = {name: root[first] for first, others in root.task_names.items() for name in (first, *others)}
        _READ[id(root)] = root, found
    return _READ[id(root)][1]


def _flags(task: AnyTask) -> ParserContext:
    """Return a task's flags as declared: each task of a command line asks for those of the tasks that are on it."""
    if id(task) not in _FLAGS:
        probe = copy.deepcopy(task)  # reading them consumes its help
        _FLAGS[id(task)] = task, ParserContext(name="probe", args=Task.get_arguments(probe, ignore_unknown_help=True))
    return _FLAGS[id(task)][1]
