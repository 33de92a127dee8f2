"""Suggests what to type next and which file to read: a run's last lines, and the names of its logs."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

from devtools.events import Verdict
from devtools.report.run_state import ReleaseResult, RunState

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_COMMAND = re.compile(r": (invoke .+)$")  # at the end of a reason
_NO_IMAGE = re.compile(r"\b(ImagePullBackOff|ErrImagePull|ErrImageNeverPull)\b")
_ENVIRONMENT = re.compile(r"(?:^|\s)(--env(?:=|\s+)\S+|-e\s*\S+)")


def file_name(text: str, longest: int = 120) -> str:
    """Return `text` as a file name: characters other than letters, digits, `.`, `_` and `-` become `-`."""
    return _UNSAFE.sub("-", text).strip("-.")[:longest] or "unnamed"


def release_log(release: str) -> str:
    """Return the log of `namespace/name` in the run directory: `namespace_name.log`; `stack.log` of stack commands."""
    return file_name(release.replace("/", "_") or "stack") + ".log"


def test_log(release: str, test: str) -> str:
    """Return the log of a smoke test in the run directory: `namespace_name.test.log`."""
    return f"{file_name(release.replace('/', '_'))}.{file_name(test)}.log"


def again(state: RunState) -> str:
    """Return the command as typed."""
    return f"invoke {state.run.what}".strip() if state.run else "invoke up"


def retry_layer(state: RunState, layer: str) -> str:
    """Return the command that repeats one layer in the same environment."""
    return f"invoke layer {layer}{_environment(state)}"


def everything(state: RunState) -> str:
    """Return the command for every layer, for a layer that lacks an object of an earlier one."""
    return f"invoke up{_environment(state)}"


def _environment(state: RunState) -> str:
    """Return the environment and the `--set` values as typed, each after a blank; empty if there are none."""
    what = state.run.what if state.run else ""
    typed, words = _ENVIRONMENT.search(what), shlex.split(what) if "--set" in what else ()
    sets = [f" --set {shlex.quote(value)}" for flag, value in pairwise(words) if flag == "--set"]
    return "".join([f" {typed[1]}" if typed else "", *sets])


def retries(state: RunState) -> tuple[str, ...]:
    """Return one command for each layer in which something failed or was blocked by itself.

    It is the typed command if that was such a command. Otherwise it has no `--only-test`, even if only a test failed:
    its corrected script must be synced first, and unchanged releases take no time.
    """
    if again(state).startswith("invoke down"):
        return ()  # replaying a layer would restore what was to be removed
    failed = [item.layer for item in state.releases.values() if item.word == "failed"]
    failed += [item.layer for item in state.checks if item.verdict is Verdict.FAILED]
    failed += [item.layer for item in _blocked(state)]
    layers, typed = sorted({*failed}), again(state)
    words = [typed if typed.startswith(f"invoke layer {layer} ") else retry_layer(state, layer) for layer in layers]
    return (*words, *(retry_layer(state, layer) for layer in layers if "--only-test" in typed))


def _blocked(state: RunState) -> list[ReleaseResult]:
    """Return the blocked releases, except those that are blocked because another one is."""
    found = [item for item in state.releases.values() if item.word == "blocked"]
    return [item for item in found if not item.planned.endswith("which is blocked")]


def _repairs(state: RunState) -> tuple[str, ...]:
    """Return the commands that reasons of blocked releases name, in the same environment."""
    found = [match[1] for item in _blocked(state) if (match := _COMMAND.search(item.planned))]
    return tuple(text + _environment(state) * text.startswith("invoke layer ") for text in found)


def _images(state: RunState) -> tuple[str, ...]:
    """Return the command that loads an image that a node could not pull; only for k3d's nodes."""
    if state.run is None or state.run.provider != "k3d":
        return ()
    return ("invoke images.preload",) if any(_NO_IMAGE.search(item.reason) for item in state.items) else ()


def next_commands(state: RunState) -> tuple[str, ...]:
    """Return the commands to type next, the best first."""
    result = state.result()
    repairs = _repairs(state)
    wider = (everything(state),) if any(text.startswith("invoke layer ") for text in repairs) else ()
    if result == "interrupted":
        return (again(state),)
    if result == "failed":
        return tuple(dict.fromkeys((*_images(state), *repairs, *retries(state), again(state), *wider)))
    if result == "planned":
        return tuple(dict.fromkeys((*repairs, *(wider or (again(state),)))))
    gone = bool(state.releases) and all(item.word == "uninstalled" for item in state.releases.values())
    return (everything(state),) if gone else ("invoke layers",)
