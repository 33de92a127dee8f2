"""The values of a Tiltfile, with Tilt's names and texts for them, and the result of its evaluation."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from devtools.errors import ConfigError
from devtools.planning.graph import reached


class TiltfileError(ConfigError):
    """The Tiltfile does not load; the message is Tilt's, the hint is the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that Tilt would build."""

    ref: str
    context: str = ""  # absolute; of docker_build
    dockerfile: str = ""  # absolute
    command: tuple[str, ...] | str = ()  # of custom_build
    deps: tuple[str, ...] = ()  # absolute
    live_update: tuple[Step, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A value that Tilt's own functions make and take: a live-update step, a link, a port forward, a probe."""

    kind: str  # the function: sync, run, link, port_forward, probe, …
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of Tilt's."""

    name: str
    kind: Literal["local", "k8s", "dc"]
    cmd: tuple[str, ...] | str = ()  # a tuple is run directly, a str by a shell
    serve_cmd: tuple[str, ...] | str = ()
    deps: tuple[str, ...] = ()  # watched paths, absolute
    resource_deps: tuple[str, ...] = ()  # only existing ones: Tilt drops others with a warning
    labels: tuple[str, ...] = ()  # sorted
    env: Mapping[str, str] = field(default_factory=dict)
    dir: str = ""  # absolute
    trigger_mode: str = "auto"  # or manual
    auto_init: bool = True  # runs on `tilt up`
    allow_parallel: bool = False
    enabled: bool = True  # selected by the arguments, or by config.set_enabled_resources
    links: tuple[str, ...] = ()
    port_forwards: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()  # `kind/name` of Kubernetes objects
    images: tuple[str, ...] = ()  # images of its containers that Tilt builds


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A Tiltfile that loads."""

    resources: tuple[Resource, ...]  # in the order they were made
    images: tuple[Image, ...] = ()
    warnings: tuple[str, ...] = ()  # Tilt's warnings; `print` and `exit` are in `output`
    output: tuple[str, ...] = ()
    allowed_contexts: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()  # files and directories whose change makes Tilt load it again, absolute
    locals: tuple[tuple[str, ...] | str, ...] = ()  # commands that local() ran while loading
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # update_settings and similar functions

    def resource(self, name: str) -> Resource:
        """Return the resource of this name; raise KeyError with similar names if there is none."""
        for resource in self.resources:
            if resource.name == name:
                return resource
        near = difflib.get_close_matches(name, [resource.name for resource in self.resources], n=3)
        raise KeyError(f"no resource {name!r}; near: {', '.join(near) or 'none'}")

    def order(self) -> tuple[str, ...]:
        """Return the names of the resources that `tilt up` runs, dependencies first; otherwise in order of creation."""
        run = {item.name: item.resource_deps for item in self.resources if item.enabled and item.auto_init}
        return in_order({name: tuple(dep for dep in deps if dep in run) for name, deps in run.items()})

    def waits_for(self, name: str) -> frozenset[str]:
        """Return all resources that must have been ready once before this one is built, directly or not."""
        deps = self.resource(name).resource_deps
        return frozenset(reached(deps, lambda other: self.resource(other).resource_deps))


def in_order(deps: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return every dependency before its dependents, otherwise in this order; without resources in a cycle."""
    waiting = {name: set(others) for name, others in deps.items()}
    order: dict[str, None] = {}
    while ready := [name for name, others in waiting.items() if others <= order.keys()]:
        order[ready[0]] = None
        del waiting[ready[0]]
    return tuple(order)


UNCATEGORIZED = "uncategorized"
"""Return the resource of the objects that are in no other resource."""

LIVE_UPDATE_STEPS = ("sync", "run", "fall_back_on", "initial_sync", "restart_container")


class Refused(Exception):
    """A function of Tilt refuses its arguments; the text is Tilt's."""


@contextmanager
def refused_as(where: str) -> Iterator[None]:
    """Prefix refusals inside with this text."""
    try:
        yield
    except Refused as error:
        raise Refused(f"{where}{error}") from error


@dataclass(frozen=True, slots=True)
class Blob:
    """Contents, where a str would be a path; the result of local(), read_file(), helm() and blob()."""

    text: str
    source: str = "Tiltfile blob() call"


_TYPES: Mapping[type, tuple[str, str]] = {  # Starlark's name, and the type's name in Go
    bool: ("bool", "starlark.Bool"),
    int: ("int", "starlark.Int"),
    float: ("float", "starlark.Float"),
    str: ("string", "starlark.String"),
    list: ("list", "*starlark.List"),
    tuple: ("tuple", "starlark.Tuple"),
    dict: ("dict", "*starlark.Dict"),
    type(None): ("NoneType", "starlark.NoneType"),
    Blob: ("blob", "io.Blob"),
}
_STEP_TYPES: Mapping[str, tuple[str, str]] = {  # the same for each function that makes a step
    "sync": ("live_update_sync_step", "tiltfile.liveUpdateSyncStep"),
    "run": ("live_update_run_step", "tiltfile.liveUpdateRunStep"),
    "fall_back_on": ("live_update_fall_back_on_step", "tiltfile.liveUpdateFallBackOnStep"),
    "initial_sync": ("live_update_initial_sync_step", "tiltfile.liveUpdateInitialSyncStep"),
    "restart_container": ("live_update_restart_container_step", "tiltfile.liveUpdateRestartContainerStep"),
    "auto": ("TriggerMode", "tiltfile.triggerMode"),
    "manual": ("TriggerMode", "tiltfile.triggerMode"),
    "port_forward": ("port_forward", "tiltfile.portForward"),
    "custom_build": ("custom_build", "*tiltfile.customBuild"),
    "link": ("struct", "links.Link"),
    "probe": ("Probe", "probe.Probe"),
    "exec_action": ("ExecAction", "probe.ExecAction"),
    "http_get_action": ("HTTPGetAction", "probe.HTTPGetAction"),
    "tcp_socket_action": ("TCPSocketAction", "probe.TCPSocketAction"),
}


def kind_of(value: Any) -> str:
    """Return Starlark's name of a value's type."""
    return _types_of(value)[0]


def go_type(value: Any) -> str:
    """Return the type's name in Go, which some of Tilt's messages use."""
    return _types_of(value)[1]


def _types_of(value: Any) -> tuple[str, str]:
    if isinstance(value, Step):
        return _STEP_TYPES[value.kind]
    return _TYPES.get(type(value), (type(value).__name__, ""))


def shown(value: Any) -> str:
    """Return a value as Starlark's str() prints it."""
    if isinstance(value, Blob):
        return value.text
    if isinstance(value, Step):
        return _step_text(value)
    return value if isinstance(value, str) else printed(value)


def printed(value: Any) -> str:
    """Return a value as printed inside another one."""
    if isinstance(value, Blob | Step):
        return shown(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{printed(key)}: {printed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(printed, value)) + "]"
    return str(value)


def _step_text(step: Step) -> str:
    """Return how Tilt prints a step of live_update."""
    fields = step.values
    if step.kind == "sync":
        return f"sync step: '{fields['local_path']}'->'{fields['remote_path']}'"
    if step.kind == "run":
        command = fields["cmd"]
        words = command if isinstance(command, str) else " ".join(command)
        triggers = f" (triggers: {'; '.join(fields['trigger'])})" if fields["trigger"] else ""
        return f"run step: {json.dumps(words)}{triggers}"
    if step.kind == "link":
        return f"link(name = {printed(fields.get('name', ''))}, url = {printed(fields['url'])})"
    if step.kind == "fall_back_on":
        return f"fall_back_on step: [{' '.join(fields['paths'])}]'"
    return f"{step.kind} step" if step.kind in LIVE_UPDATE_STEPS else f"<{kind_of(step)}>"


def true(value: Any) -> bool:
    """Return whether Tilt counts a value as true: an empty blob is false."""
    return bool(value.text) if isinstance(value, Blob) else bool(value)


def text_of(value: Any) -> str | None:
    """Return the text of a str or a blob: Tilt accepts both for its own types."""
    if isinstance(value, Blob):
        return value.text
    return value if isinstance(value, str) else None


def items_of(value: Any) -> list[Any]:
    """Return the elements of a list; a single value as a list of one, None as an empty list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | dict) else [value]


def absolute(directory: Path, path: str) -> str:
    """Return a path made absolute as Tilt does, from the directory of the executing file."""
    import os.path

    return os.path.normpath(directory / path)


def check_formatted(value: Any) -> None:
    """Refuse a text that holds an opaque value: in Tilt, a blob in a list or in `format` gives its text."""
    for item in inner_values(value):
        if isinstance(item, str) and "<opaque python object>" in item:
            raise Refused("a blob or other value of Tilt's was formatted; the harness needs str(…) around it")


def inner_values(value: Any) -> Iterator[Any]:
    """Yield every value within an argument, at any depth."""
    rest = [value]
    while rest:
        item = rest.pop()
        yield item
        rest += item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()


def enabled(resources: Sequence[Resource], chosen: Sequence[str], *, cleared: bool) -> Iterator[Resource]:
    """Yield the resources, each enabled if it is selected or a selected one waits for it."""
    known = {resource.name: resource for resource in resources}
    if unknown := [name for name in chosen if name not in known]:
        others = ", ".join(json.dumps(name) for name in known if name not in chosen)
        names = ", ".join(map(json.dumps, unknown))
        text = f"You specified some resources that could not be found: {names}"
        raise Refused(f"{text}\nIs this a typo? Existing resources in Tiltfile: {others}")
    running = reached(chosen or ([] if cleared else known), lambda name: known[name].resource_deps)
    if chosen:
        running.add(UNCATEGORIZED)
    yield from (replace(item, enabled=item.name in running) for item in resources)


def formatted(text: str, shown: Mapping[str, str], repr_: Mapping[str, str]) -> str:
    """Format `%(name)s`."""

    def put(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[1] not in shown:
            raise Refused(f"key not found: {match[1]}")
        return repr_[match[1]] if match[2] == "r" else shown[match[1]]

    return re.sub(r"%%|%\((\w+)\)([srdioxXeEfFgGc])", put, text)


# --- the forms of some values

_LABEL = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_LENGTH = 63
_ALPHANUMERIC = "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_REGEX = "regex used for validation is"
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)([a-zµμ ]*|[^\d.]*)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def url_of(text: str) -> str:
    """Return an address as Tilt stores it: http unless it has another scheme."""
    if not text:
        raise Refused(f"validating URL {json.dumps(text)}: url empty")
    try:
        scheme = urlsplit(text).scheme
    except ValueError as error:
        raise Refused(f"validating URL {json.dumps(text)}: {error}") from error
    return text if scheme else f"http://{text.removeprefix('//')}"


def seconds_of(text: str) -> float:
    """Return the seconds of a duration as Go writes it."""
    rest, total = text.lstrip("+-"), 0.0
    if rest == "0":
        return 0.0
    if not rest or not re.match(r"[\d.]", rest):
        raise Refused(f"time: invalid duration {json.dumps(text)}")
    while rest:
        match = _DURATION.match(rest)
        if match is None:
            raise Refused(f"time: invalid duration {json.dumps(text)}")
        number, unit = match.groups()
        if not unit:
            raise Refused(f"time: missing unit in duration {json.dumps(text)}")
        if unit not in _UNITS:
            raise Refused(f"time: unknown unit {json.dumps(unit)} in duration {json.dumps(text)}")
        total += float(number) * _UNITS[unit]
        rest = rest[match.end() :]
    return total


def label_faults(text: str) -> list[str]:
    """Return why Kubernetes refuses a label; Tilt refuses labels with a prefix."""
    wrong = [] if text else ["name part must be non-empty"]
    if len(text.encode()) > _LABEL_LENGTH:
        wrong.append("name part must be no more than 63 bytes")
    if re.fullmatch(r"[a-z0-9.-]+/[A-Za-z0-9][A-Za-z0-9._-]*", text):
        text_rule = "a valid label must be an empty string or consist of"
        return [
            f"{text_rule} {_ALPHANUMERIC} (e.g. 'MyValue',  or 'my_value',  or '12345', {_REGEX} '({_LABEL.pattern})?')"
        ]
    if not _LABEL.fullmatch(text):
        example = "(e.g. 'MyName',  or 'my.name',  or '123-abc'"
        wrong.append(f"name part must consist of {_ALPHANUMERIC} {example}, {_REGEX} '{_LABEL.pattern}')")
    return wrong


def nearest(word: str, known: list[str]) -> str:
    """Return Starlark's suggestion of a keyword with a similar name."""

    def folded(text: str) -> str:
        return text.replace("_", "").lower()

    best, least = "", (len(folded(word)) + 1) // 2
    for name in known:
        if (far := _distance(folded(word), folded(name))) < least:
            best, least = name, far
    return f" (did you mean {best}?)" if best else ""


def _distance(one: str, other: str) -> int:
    """Return Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one):
        last, row = row, [i + 1]
        for j, right in enumerate(other):
            row.append(min(last[j + 1] + 1, row[j] + 1, last[j] + (left != right)))
    return row[-1]
