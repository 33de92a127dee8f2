"""How tasks are declared here, and what many of them take."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from invoke.context import Context
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
    """A task with the one short flag that everybody expects: `-l` for a label, as in kubectl and helmfile.

    invoke's own `--dry` is honored as `--dry-run`, or refused. `reads`: the task changes nothing but with `--fix`.
    """

    def __init__(self, *args: Any, reads: bool = False, **kwargs: Any) -> None:
        """See `Task`."""
        super().__init__(*args, **kwargs)
        self.reads = reads

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `Task`."""
        if _is_dry(args):
            if "dry_run" in inspect.signature(self.body).parameters:
                kwargs["dry_run"] = True
            elif not self.reads or kwargs.get("fix"):
                refuse_dry(_typed(self), str(kwargs.get("output", "text")))
        return super().__call__(*args, **kwargs)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments, with their help each time: invoke's own method uses up the help texts.

        A task that is asked for its help needs none.
        """
        from devtools.tasks.positional import asks_for_help, refuse_unknown

        texts = dict(self.help)
        try:
            arguments: list[Argument] = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        finally:
            self.help = texts
        program = running_program()
        if program is not None and getattr(program, "core", None) and getattr(program, "collection", None):
            refuse_unknown(program.core.unparsed, program.collection)
            if asks_for_help(program.core.unparsed):
                for argument in arguments:
                    argument.positional = False
        return arguments

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `Task`."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        return {**options, "names": (name, "l")} if name == "label" else options


class LayerTask(_OurTask):
    """A task that may be told a layer: `invoke drift 40` is `invoke drift --name 40`."""

    bare = "name"  # the argument that may be left out
    beside: Collection | None = None  # the tasks that may come next on a command line, where no program says it

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """See `Task`."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        if self._has_layer():
            for argument in arguments:
                if argument.name == self.bare:
                    argument.positional, argument.default = True, None
        return arguments

    def _has_layer(self) -> bool:
        """Whether a layer stands on the command line, which is read again and again: it is short."""
        from devtools.tasks.positional import has_positional

        program = running_program()
        if program is not None and getattr(program, "core", None) and getattr(program, "collection", None):
            return has_positional(self, program.core.unparsed, program.collection)
        return self.beside is not None and has_positional(self, sys.argv[1:], self.beside)


def _is_dry(args: Sequence[Any]) -> bool:
    """Whether invoke was given `--dry`, or `run.dry` in its configuration."""
    return bool(args) and isinstance(args[0], Context) and bool(args[0].config.run.dry)


def _typed(task: Task[Any]) -> str:
    """A task's name as it is typed: `cluster.delete`."""
    program = running_program()
    root = getattr(program, "collection", None) if program else None
    names = (name for name in root.task_names if root[name] is task) if root else iter(())
    return next(names, task.name)


def refuse_dry(name: str, output: str) -> None:
    """End with the error that a task cannot be rehearsed."""
    from devtools.app.exit_codes import main
    from devtools.errors import ConfigError

    def refuse(_: object) -> NoReturn:
        hint = f"leave out --dry; what {name} does: invoke --help {name}"
        raise ConfigError(f"{name} has no dry run, so --dry is refused: nothing was done", hint=hint)

    main(refuse, output if output in {"text", "json"} else "text")


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
    "diff": "with a dry run: show which objects and fields would change",
    "fail-on-change": "with --diff: exit with 1 if anything would be done",
    "no-test": "sync only",
    "only-test": "check contracts and run smoke tests, without syncing",
    "no-wait": "fail if another run holds the lock, instead of waiting",
    "stage": "only layers of this stage (may be given again)",
    "release": "only this release, name or namespace/name (may be given again)",
    "label": "only releases with these labels: a=b,c!=d or name=web (may be given again: any may match)",
    "with-needs": "also everything that the chosen releases need",
    "recreate": "recreate objects of this release whose immutable fields change (may be given again)",
    "force-local": "also write to an environment that a GitOps controller deploys",
    "take-ownership": "take over this release, its fields and its objects from other owners (may be given again)",
    "show-secrets": "also show values whose key looks secret (default: ***)",
    "yes": "change the cluster of provider context without asking",
    "verbose": "show what helm and the hooks print",
}
SELECTORS = ["stage", "release", "label"]
INSISTED = ["recreate", "take_ownership"]


def with_help(*names: str, **more: str) -> dict[str, str]:
    """The help of flags that many tasks have, and of those that are this task's alone."""
    return {name: _HELP[name] for name in names} | more


def options_of(
    output: str, *, force: bool = False, dry_run: bool = False, wait: bool = True, verbose: bool = False
) -> Options:
    """Return the options of a run as typed."""
    from devtools.app.options import Options

    return Options(output=output, force=force, dry_run=dry_run, wait=wait, verbose=verbose)


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
