"""How tasks are declared here, and what many of them take."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from invoke.tasks import Task, task

from devtools.tasks.interrupt import end_quietly
from devtools.tasks.program import allow_bytecode, running_program

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.parser.argument import Argument

    from devtools.app.options import Options
    from devtools.planning.selection import Selector


# invoke would give every flag a letter by its own lights, `--` among them; long flags read better in scripts
class _OurTask(Task[Callable[..., None]]):
    """A task with the one short flag that everybody expects: `-l` for a label, as in kubectl and helmfile."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `Task`."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        return {**options, "names": (name, "l")} if name == "label" else options

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments, with their help each time: invoke's own method uses up the help texts."""
        texts = dict(self.help)
        try:
            found: list[Argument] = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        finally:
            self.help = texts
        return found


class LayerTask(_OurTask):
    """A task that may be told a layer: `invoke drift 40` is `invoke drift --name 40`."""

    beside: Collection | None = None  # the tasks that may come next on a command line, where no program says it

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """See `Task`."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        if self._has_layer():
            for argument in arguments:
                if argument.name == "name":
                    argument.positional, argument.default = True, None
        return arguments

    def _has_layer(self) -> bool:
        """Whether a layer stands on the command line, which is read again and again: it is short."""
        from devtools.tasks.positional import has_positional

        program = running_program()
        if program is not None and getattr(program, "core", None) and getattr(program, "collection", None):
            return has_positional(self, program.core.unparsed, program.collection)
        return self.beside is not None and has_positional(self, sys.argv[1:], self.beside)


end_quietly(_OurTask)
allow_bytecode()

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
    "show-secrets": "also show values whose key looks secret (default: ***)",
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
    from devtools.app.options import Options

    return Options(environment=env, output=output, force=force, dry_run=dry_run, wait=wait, verbose=verbose)


def selector_of(
    stage: Sequence[str] | None, release: Sequence[str] | None, label: Sequence[str] | None, *, with_needs: bool
) -> Selector:
    """Which releases were asked for."""
    from devtools.planning.selection import Selector

    return Selector(
        stages=tuple(stage or ()), releases=tuple(release or ()), labels=tuple(label or ()), with_needs=with_needs
    )


def changed(options: Options, **changes: bool | Selector | tuple[str, ...]) -> Options:
    """The same options but for some."""
    return dataclasses.replace(options, **changes)  # type: ignore[arg-type] # each caller's keys are right
