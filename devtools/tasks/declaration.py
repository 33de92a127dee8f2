"""Declares tasks, and the flags that many of them share."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from inspect import Parameter
from typing import TYPE_CHECKING, Any, NoReturn, Self

from invoke.context import Context
from invoke.tasks import Task

from devtools.tasks.interrupt import end_quietly
from devtools.tasks.program import allow_bytecode, end_without_reader, running_program

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.parser.argument import Argument

    from devtools.app.exit_codes import Verb
    from devtools.app.options import Options

DOCUMENTS = ("text", "json")  # output formats of a command that shows something
EVENTS = (*DOCUMENTS, "jsonl")  # of a command that runs something
PLANS = (*EVENTS, "markdown")  # of a command that may show changes


_SHORT = {"label": "l", "namespace": "n"}  # as in kubectl and helmfile


# invoke would assign every flag a letter, even `--`; long flags read better in scripts
class _OurTask(Task[Callable[..., None]]):
    """A task with the two usual short flags, `-l` for a label and `-n` for a namespace.

    invoke's own `--dry` is honored as `--dry-run`, or refused. `reads`: the task changes nothing but with `--fix`.
    """

    def __init__(self, *args: Any, reads: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reads = reads

    def __deepcopy__(self, memo: object) -> Self:
        """Return a copy with help texts of its own: invoke copies each task, and some refer to all others."""
        copied = copy(self)
        copied.help = dict(self.help)
        return copied

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_dry(args):
            if "dry_run" in inspect.signature(self.body).parameters:
                kwargs["dry_run"] = True
            elif not self.reads or kwargs.get("fix"):
                refuse_dry(_typed(self), str(kwargs.get("output", "text")))
        return super().__call__(*args, **kwargs)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments, with their help each time: invoke's own method consumes the help texts.

        With --help a task needs no arguments.
        """
        from devtools.tasks.positional import is_help_requested, refuse_incomplete, refuse_unknown

        texts = dict(self.help)
        try:
            arguments: list[Argument] = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        finally:
            self.help = texts
        program = running_program()
        if program is not None and getattr(program, "core", None) and getattr(program, "collection", None):
            words = program.core.unparsed
            asked = is_help_requested(words, program.collection, program.args.help.value)
            refuse_unknown(words, program.collection)
            if asked:
                for argument in arguments:
                    argument.positional = False
            else:
                refuse_incomplete(words, program.collection)
        return arguments

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        return {**options, "names": (name, _SHORT[name])} if name in _SHORT else options


class LayerTask(_OurTask):
    """A task that accepts a layer as a bare word: `invoke drift 40` is `invoke drift --name 40`."""

    bare = "name"  # the argument that may be left out
    beside: Collection | None = None  # the tasks that may come next on a command line, if there is no invoke program

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """See `Task`."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        if self._has_layer():
            for argument in arguments:
                if argument.name == self.bare:
                    argument.positional, argument.default = True, None
        return arguments

    def _has_layer(self) -> bool:
        """Return whether a layer is on the command line, which is parsed each time, because it is short."""
        from devtools.tasks.positional import has_positional

        program = running_program()
        if program is not None and getattr(program, "core", None) and getattr(program, "collection", None):
            return has_positional(self, program.core.unparsed, program.collection)
        return self.beside is not None and has_positional(self, sys.argv[1:], self.beside)


def _is_dry(args: Sequence[Any]) -> bool:
    """Return whether invoke was given `--dry`, or `run.dry` in its configuration."""
    return bool(args) and isinstance(args[0], Context) and bool(args[0].config.run.dry)


def _typed(task: Task[Any]) -> str:
    """Return a task's name as it is typed: `cluster.delete`."""
    program = running_program()
    root = getattr(program, "collection", None) if program else None
    names = (name for name in root.task_names if root[name] is task) if root else iter(())
    return next(names, task.name)


def refuse_dry(name: str, output: str) -> None:
    """Exit with the error that a task has no dry run."""
    from devtools.errors import ConfigError

    def refuse(_: object) -> NoReturn:
        hint = f"leave out --dry; what {name} does: invoke --help {name}"
        raise ConfigError(f"{name} has no dry run, so --dry is refused: nothing was done", hint=hint)

    run(refuse, output if output in DOCUMENTS else "text")


end_quietly(_OurTask)
allow_bytecode()
end_without_reader()

_RUN = "text, json (one document at the end) or jsonl (events as they occur)"
OUTPUT_OF_PLANS = f"{_RUN}; with --diff text, json or markdown"


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag that several tasks have: its help, and the option of a run that it sets, empty if the task reads it."""

    help: str
    option: str = ""
    default: Any = False
    inverted: bool = False  # the flag switches the option off


_FLAGS = {
    "env": _Flag("environment whose overlays apply (default: the one in devtools.yaml)"),
    "output": _Flag(_RUN),
    "show-secrets": _Flag("also show values whose key looks secret (default: ***)"),
    "set": _Flag("replace a value of the environment for this run: key=value (repeatable)", "sets", None),
    "force": _Flag("sync releases that are unchanged, too", "force"),
    "force-local": _Flag("also write to an environment that a GitOps controller deploys", "force_local"),
    "dry-run": _Flag("print the plan and touch nothing", "dry_run"),
    "diff": _Flag("with a dry run: show which objects and fields would change", "diff"),
    "fail-on-change": _Flag("with --diff: exit with 1 if anything would be done", "fail_on_change"),
    "no-test": _Flag("sync only", "test", inverted=True),
    "only-test": _Flag("check contracts and run smoke tests, without syncing", "sync", inverted=True),
    "no-wait": _Flag("fail if another run holds the lock, instead of waiting", "wait", inverted=True),
    "retest": _Flag("test unchanged layers, too", "retest"),
    "yes": _Flag("change the cluster of provider context without asking", "yes"),
    "verbose": _Flag("show what helm and the hooks print", "verbose"),
    "recreate": _Flag("recreate objects of this release whose immutable fields change (repeatable)", "recreate", None),
    "take-ownership": _Flag(
        "take over this release, its fields and its objects from other owners, or '*' for every release that "
        "another tool installed (repeatable)",
        "take",
        None,
    ),
    "stage": _Flag("only layers of this stage (repeatable)", "selector.stages", None),
    "release": _Flag("only this release, name or namespace/name (repeatable)", "selector.releases", None),
    "label": _Flag(
        "only releases with these labels: a=b,c!=d or name=web (repeatable: any may match)",
        "selector.labels",
        None,
    ),
    "with-needs": _Flag("also everything that the chosen releases need", "selector.with_needs"),
}
SELECTORS = ("stage", "release", "label")
_COMMON = {"output": "text or json"}  # help of parameters that are the same in most tasks
_LAYER = "only this layer (default: all)"


def our_task(
    *flags: str,
    klass: type[Task[Any]] = _OurTask,
    help: Mapping[str, str] | None = None,  # noqa: A002 - invoke's name
    iterable: Iterable[str] = (),
    **more: Any,
) -> Callable[[Callable[..., None]], Any]:
    """Declare a task as `invoke.task` does, which has flags of `_FLAGS` besides the parameters of its function.

    The function gets the options they set as `options`. `help` describes its own parameters, except for those of
    `_COMMON`, and overrides the help of flags.
    """
    added = {flag.replace("-", "_"): _FLAGS[flag] for flag in flags if _FLAGS[flag].option}
    texts = {flag: _FLAGS[flag].help for flag in flags} | dict(help or {})
    common = {**_COMMON, "name": _LAYER} if klass is LayerTask else _COMMON
    several = [*iterable, *(name for name, flag in added.items() if flag.default is None)]

    def declare(body: Callable[..., None]) -> Any:
        own = inspect.signature(body).parameters
        known = {name: text for name, text in common.items() if name in own}
        return klass(_with_flags(body, added), help=known | texts, iterable=several, auto_shortflags=False, **more)

    return declare


layer_task = functools.partial(our_task, klass=LayerTask)


def _with_flags(body: Callable[..., None], flags: Mapping[str, _Flag]) -> Callable[..., None]:
    """Return a function with these additional parameters, which calls `body` with the `options` that they set.

    A function without a parameter `options` is returned as it is.
    """
    own = list(inspect.signature(body).parameters.values())
    if all(item.name != "options" for item in own):
        return body
    own = [item for item in own if item.name != "options"]
    added = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=flag.default) for name, flag in flags.items()]
    signature = inspect.Signature([*own, *added])

    @functools.wraps(body)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        typed = {name: bound.arguments.pop(name) for name in flags}
        body(*bound.args, **bound.kwargs, options=_options(typed, flags, bound.arguments.get("output", "text")))

    wrapper.__signature__ = signature  # type: ignore[attr-defined] # what inspect.signature returns
    return wrapper


def _options(typed: Mapping[str, Any], flags: Mapping[str, _Flag], output: str) -> Options:
    """Return the options of a run as typed."""
    from devtools.app.options import Options
    from devtools.planning.selection import Selector

    found: dict[str, Any] = {"output": output}
    selected: dict[str, Any] = {}
    for name, flag in flags.items():
        value = tuple(typed[name] or ()) if flag.default is None else typed[name] != flag.inverted
        option = flag.option.removeprefix("selector.")
        (found if option == flag.option else selected)[option] = value
    return Options(**found, selector=Selector(**selected))


def run(
    verb: Verb,
    output: str = "text",
    outputs: tuple[str, ...] = DOCUMENTS,
    *,
    environment: str = "",
    sets: Iterable[str] = (),
) -> None:
    """Run a command in this process and exit with its code; see `devtools.app.exit_codes.main`."""
    from devtools.app.exit_codes import main

    main(verb, output, outputs, environment=environment, sets=sets)
