"""What a run was started with: its options, its selection, and the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devtools.planning.overrides import Overrides
from devtools.planning.selection import Selector

if TYPE_CHECKING:
    from devtools.model import ReleaseId, Stack
    from devtools.planning.plan import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run, as typed."""

    test: bool = True
    sync: bool = True
    retest: bool = True
    force: bool = False
    dry_run: bool = False
    diff: bool = False  # of a dry run: show what changes on the cluster, too
    fail_on_change: bool = False
    wait: bool = True
    output: str = "text"
    verbose: bool = False
    selector: Selector = field(default_factory=Selector)
    sets: tuple[str, ...] = ()  # values of the environment, as `App.sets`
    recreate: tuple[str, ...] = ()  # releases
    take: tuple[str, ...] = ()  # releases
    yes: bool = False  # agree to change a cluster that devtools did not make
    force_local: bool = False  # also write to an environment that a controller deploys


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninstall:
    """What an uninstall selects, and what it removes besides the releases."""

    undeclared: bool = False  # only releases that no layer declares any more
    crds: bool = False  # CRDs, too, after the last release
    whole: bool = True  # everything of the stack; else the selection, unless other releases need it
    dependents: bool = False  # uninstall those other releases, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run: which releases, what to do with them, and on which cluster."""

    command: str  # as typed: "layer 40-data-plane"
    stack: Stack
    selection: Selection  # of the releases to sync
    options: Options = field(default_factory=Options)
    uninstall: Uninstall | None = None  # uninstall instead of syncing
    overrides: Overrides = field(default_factory=Overrides)
    create_cluster: bool = False  # create the cluster if there is none
    context: str = ""  # refuse a cluster with another context; agrees to change this one
    kubeconfig: str = ""  # refuse a cluster with another kubeconfig
    waves: Mapping[ReleaseId, int] = field(default_factory=dict)  # wait for whole waves instead of for needs


def command_line(command: str, options: Options, environment: str = "", **flags: bool) -> str:
    """Return the words after `invoke` that repeat a run; `flags` are specific to one task.

    Leaves out flags that only change the output, and the guards that Tilt's commands carry.
    """
    selector = options.selector
    words = [command, *(["--env", environment] if environment else [])]
    for flag, values in (
        ("set", options.sets),
        ("stage", selector.stages),
        ("release", selector.releases),
        ("label", selector.labels),
        ("recreate", options.recreate),
        ("take-ownership", options.take),
    ):
        words += [word for value in values for word in (f"--{flag}", shlex.quote(value))]
    switches = {
        "with-needs": selector.with_needs,
        "only-test": not options.sync,
        "no-test": not options.test,
        "force": options.force,
        "force-local": options.force_local,
        "no-wait": not options.wait,
        "yes": options.yes,
    }
    return " ".join([*words, *(f"--{name.replace('_', '-')}" for name, on in (switches | flags).items() if on)])
