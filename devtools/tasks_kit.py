"""How tasks are declared here, and what many of them take."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from invoke.tasks import Task, task

from devtools.tasks_interrupt import end_quietly

if TYPE_CHECKING:
    from invoke.collection import Collection

    from devtools.app.running import Options
    from devtools.stack.choice import Selector


# invoke would give every flag a letter by its own lights, `--` among them; long flags read better in scripts
class _OurTask(Task[Callable[..., None]]):
    """A task with the one short flag that everybody expects: `-l` for a label, as in kubectl and helmfile."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `Task`."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        return {**options, "names": (name, "l")} if name == "label" else options


class LayerTask(_OurTask):
    """A task that may be told a layer: `invoke drift 40` is `invoke drift --name 40`.

    invoke knows positional arguments that must be given, and none that may be: so it is one where it is given.
    """

    beside: Collection | None = None  # the tasks that may come next on a command line

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `Task`."""
        options = super().arg_opts(name, default, taken_names)
        if name == "name" and any(map(self._is_layer, _words_after(self.name, sys.argv[1:]))):
            del options["default"]
            options["positional"] = True
        return options

    def _is_layer(self, word: str) -> bool:
        """Whether it can only be meant as a layer: neither as a flag nor as the next task."""
        return bool(word) and not word.startswith("-") and not (self.beside and word in self.beside.task_names)


end_quietly(_OurTask)


def _words_after(task_name: str, words: Sequence[str]) -> list[str]:
    """What follows each mention of a task; its collection may stand in another."""
    return [after for word, after in pairwise(words) if word.rpartition(".")[2] == task_name]


our_task = functools.partial(task, klass=_OurTask, auto_shortflags=False)
layer_task = functools.partial(task, klass=LayerTask, auto_shortflags=False)

_ENV = "environment whose overlays apply (default: the one in devtools.yaml)"
_OUTPUT = "text, json (one document at the end) or jsonl (events as they come)"
_HELP = {
    "env": _ENV,
    "output": _OUTPUT,
    "force": "sync releases that are unchanged, too",
    "dry-run": "print the plan and touch nothing",
    "no-test": "sync only",
    "only-test": "run contracts and smoke tests of what is there, sync nothing",
    "no-wait": "refuse when another run holds the lock, instead of waiting for it",
    "stage": "only layers of this stage (may be given again)",
    "release": "only this release, name or namespace/name (may be given again)",
    "label": "only releases with this label, key=value (given again: with all of them)",
    "with-needs": "and everything that the chosen releases need",
    "recreate": "recreate what this release cannot change in place (may be given again)",
    "take-ownership": "take over what others hold of this release (may be given again)",
    "show-secrets": "what sounds secret by its key, too; without it *** stands there",
    "verbose": "show what helm and the hooks print",
}
SELECTORS = ["stage", "release", "label"]
INSISTED = ["recreate", "take_ownership"]


def with_help(*names: str, **more: str) -> dict[str, str]:
    """The help of flags that many tasks have, and of those that are this task's alone."""
    return {name: _HELP[name] for name in names} | more


def options_of(
    env: str, output: str, *, force: bool = False, dry_run: bool = False, wait: bool = True, verbose: bool = False
) -> Options:
    """Options of a run as typed; whether `output` is one is the renderer's to say."""
    from devtools.app.running import Options

    return Options(environment=env, output=output, force=force, dry_run=dry_run, wait=wait, verbose=verbose)


def selector_of(
    stage: Sequence[str] | None, release: Sequence[str] | None, label: Sequence[str] | None, *, with_needs: bool
) -> Selector:
    """Which releases were asked for."""
    from devtools.stack.choice import Selector

    return Selector(
        stages=tuple(stage or ()), releases=tuple(release or ()), labels=tuple(label or ()), with_needs=with_needs
    )


def changed(options: Options, **changes: bool | Selector | tuple[str, ...]) -> Options:
    """The same options but for some."""
    return dataclasses.replace(options, **changes)  # type: ignore[arg-type] # each caller's keys are right
