"""Settings that a Tiltfile defines with `config`, and Tilt's functions that only set something."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from devtools.base.machine_json import read_json
from devtools.tilt.harness import arguments
from devtools.tilt.harness.arguments import signatures
from devtools.tilt.harness.files import Files
from devtools.tilt.harness.images import parse_reference
from devtools.tilt.harness.values import Refused, go_type, refused_as

TILT_VERSION = "0.37.6"
"""The version whose behaviour is modelled; `version_settings` compares with it."""
_BOUND = re.compile(r"(>=|<=|==|!=|>|<|=|!)?(.*)")
_COMPARISONS = {">": "gt", ">=": "ge", "<": "lt", "<=": "le", "!": "ne", "!=": "ne", "=": "eq", "==": "eq"}
Kind = Literal["string_list", "string", "bool", "object"]
FILE = "tilt_config.json"
_TYPES: Mapping[Kind, str] = {"string_list": " list[string]", "string": " string", "bool": "", "object": " object"}
_EMPTY: Mapping[Kind, Any] = {"string_list": [], "string": "", "bool": False, "object": None}
_BOOLS = {**dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)}
_BOOLS |= dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)


@dataclass(slots=True, kw_only=True)
class Config:
    """The settings of one evaluation."""

    words: tuple[str, ...]  # after `--`
    files: Files
    kinds: dict[str, Kind] = field(default_factory=dict)
    usage: dict[str, str] = field(default_factory=dict)
    positional: str = ""  # the setting for arguments that are not flags
    parsed_in: Path | None = None
    enabled: tuple[str, ...] = ()  # resources to run; empty: all
    cleared: bool = False

    def define(self, kind: Kind) -> Callable[[Mapping[str, Any]], None]:
        """`config.define_<kind>`."""

        def defined(params: Mapping[str, Any]) -> None:
            name, args = params["name"], params.get("args", False)
            if not name:
                raise Refused("'name' is required")
            if self.parsed_in is not None:
                raise Refused(f"config.define_{kind} cannot be called after config.parse is called")
            if name in self.kinds:
                raise Refused(f"{name} defined multiple times")
            if args and self.positional:
                raise Refused(f"both {name} and {self.positional} are defined as positional args")
            self.kinds[name], self.usage[name] = kind, params.get("usage", "")
            self.positional = name if args else self.positional

        return defined

    def parse(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """`config.parse`: the settings of tilt_config.json, overridden by the arguments; unset ones are absent."""
        where = self.files.directory()
        if self.parsed_in not in {None, where}:
            text = f"It was called from {self.parsed_in} and {where}"
            raise Refused(f"config.parse can only be called from one Tiltfile working directory per run. {text}")
        self.parsed_in = where
        return {**self._file(str(where / FILE)), **self._words()}

    def set_enabled_resources(self, params: Mapping[str, Any]) -> None:
        """`config.set_enabled_resources`."""
        self.enabled = arguments.strings_of(params["resources"], "resources must be a list of string: ")
        self.cleared = False

    def clear_enabled_resources(self, _: Mapping[str, Any]) -> None:
        """`config.clear_enabled_resources`."""
        self.enabled, self.cleared = (), True

    def chosen(self) -> tuple[str, ...]:
        """Return the requested resources; empty: all."""
        return self.enabled or (() if self.parsed_in is not None else self.words)

    # --- tilt_config.json

    def _file(self, path: str) -> dict[str, Any]:
        try:
            found = read_json(self.files.read(path))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError) as error:
            raise Refused(f"error parsing json from {path}: {error}") from error
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise Refused(f"error parsing json from {path}: it does not hold settings by name")
        return {name: self._from_file(path, name, value) for name, value in found.items()}

    def _from_file(self, path: str, name: str, value: Any) -> Any:
        if name not in self.kinds:
            raise Refused(f"{path} specified unknown setting name '{name}'")
        kind, wrong = self.kinds[name], ""
        if value is None:
            return _EMPTY[kind]
        if kind == "string_list" and not isinstance(value, list):
            wrong = "expected array"
        elif kind == "string_list" and (odd := [item for item in value if not isinstance(item, str)]):
            wrong = f"expected string, got {_go_json_type(odd[0])}"
        elif kind in {"string", "bool"} and not isinstance(value, str if kind == "string" else bool):
            wrong = f"expected {kind}, found {_go_json_type(value)}"
        if wrong:
            raise Refused(f"{path} specified invalid value for setting {name}: {wrong}")
        return _floats(value) if kind == "object" else value

    # --- the arguments after `--`

    def _words(self) -> dict[str, Any]:
        """Parse the arguments as Tilt's flag library does."""
        found: dict[str, Any] = {}
        plain: list[str] = []
        rest = list(self.words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                plain += rest
                break
            if word.startswith("--"):
                self._flag(found, word, rest)
            elif word.startswith("-") and word != "-":
                raise self._wrong(
                    "help requested" if word[1] == "h" else f"unknown shorthand flag: '{word[1]}' in {word}"
                )
            else:
                plain.append(word)
        if plain and not self.positional:
            text = f"positional CLI args ({json.dumps(' '.join(plain))}) were specified, but none were expected.\n"
            see = "See https://docs.tilt.dev/tiltfile_config.html#positional-arguments for examples."
            raise Refused(f"invalid Tiltfile config args: {text}{see}")
        for word in plain:
            with refused_as(f"invalid Tiltfile config args: invalid positional args ({self.positional}): "):
                self._put(found, self.positional, word)
        return found

    def _flag(self, found: dict[str, Any], word: str, rest: list[str]) -> None:
        """Read one `--name value`, `--name=value`, or `--name` of a bool."""
        name, params, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise self._wrong(f"bad flag syntax: {word}")
        if name not in self.kinds or name == self.positional:
            raise self._wrong("pflag: help requested" if name == "help" else f"unknown flag: --{name}")
        if not params:
            if self.kinds[name] == "bool":
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise self._wrong(f"flag needs an argument: --{name}")
        try:
            self._put(found, name, value)
        except Refused as error:
            raise self._wrong(f'invalid argument {json.dumps(value)} for "--{name}" flag: {error}') from error

    def _put(self, found: dict[str, Any], name: str, value: str) -> None:
        kind = self.kinds[name]
        if kind == "string_list":
            found.setdefault(name, []).append(value)  # a comma does not separate values, as in Tilt's flags
            return
        if name in found:
            raise Refused(f"{kind} settings can only be specified once. multiple values found (last value: {value})")
        if kind == "bool":
            if value not in _BOOLS:
                raise Refused(f"strconv.ParseBool: parsing {json.dumps(value)}: invalid syntax")
            found[name] = _BOOLS[value]
        elif kind == "object":
            try:
                found[name] = _floats(read_json(value))
            except ValueError as error:
                raise Refused(f"decoding JSON, got {json.dumps(value)}: {error}") from error
        else:
            found[name] = value

    def _wrong(self, text: str) -> Refused:
        """Return the error with the defined flags."""
        names = sorted(name for name in self.kinds if name != self.positional)
        flags = {name: f"      --{name}{_TYPES[self.kinds[name]]}" for name in names}
        width = max(map(len, flags.values()), default=0)
        rows = []
        for name, flag in flags.items():
            default = " (default None)" if self.kinds[name] == "object" else ""
            rows.append(f"{flag.ljust(width)}   {self.usage.get(name, '')}{default}".rstrip())
        return Refused("\n".join([f"invalid Tiltfile config args: {text}", *(["Usage:", *rows] if rows else [])]))


def _go_json_type(value: Any) -> str:
    """Return Go's name for a decoded value's type."""
    names = {bool: "bool", int: "float64", float: "float64", str: "string", list: "[]interface {}"}
    return "<nil>" if value is None else names.get(type(value), "map[string]interface {}")


def _floats(value: Any) -> Any:
    """Return JSON as Go decodes it: every number is a float."""
    if isinstance(value, Mapping):
        return {key: _floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_OBSOLETE_FEATURES = (
    *("multiple_containers_per_pod", "events", "update_history", "facets", "labels", "live_update_v2"),
    *("disable_resources", "bulk_disable_resources", "offline_snapshot_creation"),
)
_FEATURES = ("snapshots", "cluster_refresh", *_OBSOLETE_FEATURES)


@dataclass(slots=True)
class Settings:
    """The settings by function, and the objects of Tilt's own API."""

    warn: Callable[[str], None]
    by_function: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # by kind and name

    def function(self, name: str) -> Callable[[Mapping[str, Any]], Any]:
        """Return the function of this name."""
        if name.startswith("v1alpha1."):
            return lambda params: self._api_object(name, params)
        check = _CHECKS.get(name)

        def note(params: Mapping[str, Any]) -> None:
            if check is not None:
                check(self, params)
            known = self.by_function.setdefault(name, {})
            for key, item in params.items():
                if isinstance(item, tuple):  # Tilt joins the lists of several calls
                    known[key] = [*known.get(key, ()), *item]
                elif item is not None:
                    known[key] = item

        return note

    def unused_images_allowed(self) -> tuple[str, ...]:
        """Return the images about which Tilt does not warn."""
        return tuple(self.by_function.get("update_settings", {}).get("suppress_unused_image_warnings", ()))

    def _api_object(self, name: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Register an object, or return a part of one."""
        kind = name.removeprefix("v1alpha1.")
        if "labels" not in {parameter.name for parameter in signatures()[name]}:
            return arguments.part(kind, params, Path())
        url = params.get("url", "")
        if kind == "extension_repo" and not url.startswith(("http://", "https://", "file://")):
            raise Refused(f'spec.url: Invalid value: "{url}": URLs must start with http(s):// or file://')
        known = self.objects.setdefault((kind, params["name"]), dict(params))
        if known != params:
            raise Refused(f'{kind.replace("_", "")}s "{params["name"]}" already registered')
        return None


def _update_settings(_: Settings, params: Mapping[str, Any]) -> None:
    for name, least in (
        ("max_parallel_updates", "max number of parallel updates must be >= 1(got: {})"),
        ("k8s_upsert_timeout_secs", "minimum k8s upsert timeout is 1s; got {}s"),
    ):
        value = params.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused(f'update_settings: for parameter "{name}": got {go_type(value)}, want int')
        if value < 1:
            raise Refused(least.format(value))
    apply = params.get("k8s_server_side_apply", "")
    if apply not in {"", "true", "false", "auto"}:
        text = f'must be "true", "false", or "auto"; got "{apply}"'
        raise Refused(f"update_settings: k8s_server_side_apply {text}")


def _version_settings(_: Settings, params: Mapping[str, Any]) -> None:
    constraint = params.get("constraint", "")
    ranges = [re.sub(r"([<>=!])\s+", r"\1", part).split() for part in constraint.split("||")]
    if constraint and not any(all(_in_bound(bound, constraint) for bound in bounds) for bounds in ranges):
        text = f"doesn't match the version constraint specified in your Tiltfile: '{constraint}'"
        raise Refused(f"you are running Tilt version {TILT_VERSION}, which {text}")


def _in_bound(bound: str, constraint: str) -> bool:
    match = _BOUND.fullmatch(bound)
    name, text = match.groups() if match else ("", bound)
    compare = getattr(operator, _COMPARISONS[name or "="])
    ours = [int(number) for number in TILT_VERSION.split(".")]
    numbers = text.split(".")
    wrong = f'error parsing version constraint: Could not parse Range "{constraint}": Could not parse '
    if numbers[-1] in {"x", "X", "*"}:
        known = [int(number) for number in numbers if number.isdigit()]
        return bool(compare(ours[: len(known)], known))
    if len(numbers) != len(ours):
        raise Refused(f'{wrong}version "{text}" in "{bound}": No Major.Minor.Patch elements found')
    for number in numbers:
        if not number.isdigit():
            raise Refused(f'{wrong}version "{text}" in "{bound}": Invalid character(s) found in number "{number}"')
    return bool(compare(ours, [*map(int, numbers)]))


def _docker_prune_settings(_: Settings, params: Mapping[str, Any]) -> None:
    if params.get("num_builds") and params.get("interval_hrs"):
        which = "please pass only one of `num_builds` and `interval_hrs`"
        raise Refused(f"can't specify both 'prune every X builds' and 'prune every Y hours'; {which}")
    arguments.CONVERTERS["int"](params.get("keep_recent", 0), Path())


def _feature(settings: Settings, params: Mapping[str, Any]) -> None:
    name = params["msg"]
    if name not in _FEATURES:
        raise Refused(f"Unknown feature flag: {name}")
    if name in _OBSOLETE_FEATURES:
        settings.warn(f"Obsolete feature flag: {name}")


def _set_team(settings: Settings, params: Mapping[str, Any]) -> None:
    if not params["team_id"]:
        raise Refused("team_id cannot be empty")
    if before := settings.by_function.get("set_team"):
        raise Refused(f"team_id set multiple times (to '{before['team_id']}' and '{params['team_id']}')")


def _default_registry(settings: Settings, params: Mapping[str, Any]) -> None:
    if "default_registry" in settings.by_function:
        raise Refused("default registry already defined")
    wrong = [] if params["host"] else ["host: Required value"]
    for name, key in (("host", "host"), ("host_from_cluster", "hostFromContainerRuntime")):
        text = params.get(name, "")
        try:
            normalized = parse_reference(f"{text}/fake").name == f"{text}/fake" if text else True
        except Refused as error:
            wrong.append(f'{key}: Invalid value: "{text}": {error}')
        else:
            if not normalized:
                wrong.append(f'{key}: Invalid value: "{text}": repository name must be canonical')
    if wrong:
        text = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        raise Refused(f"validating defaultRegistry: {text}")


def _telemetry(settings: Settings, params: Mapping[str, Any]) -> None:
    arguments.directory_of(params.get("dir"))
    if not arguments.command_of(params["cmd"]):
        raise Refused("cmd cannot be empty")
    if "experimental_telemetry_cmd" in settings.by_function:
        raise Refused("experimental_telemetry_cmd called multiple times")


_CHECKS: Mapping[str, Callable[[Settings, Mapping[str, Any]], None]] = {
    "update_settings": _update_settings,
    "version_settings": _version_settings,
    "docker_prune_settings": _docker_prune_settings,
    "enable_feature": _feature,
    "disable_feature": _feature,
    "set_team": _set_team,
    "default_registry": _default_registry,
    "experimental_telemetry_cmd": _telemetry,
    "experimental_metrics_settings": lambda settings, _: settings.warn("experimental_metrics_settings() is deprecated"),
}


NAMES = (
    *("update_settings", "ci_settings", "watch_settings", "version_settings", "secret_settings", "set_team"),
    *("docker_prune_settings", "analytics_settings", "experimental_analytics_report", "experimental_telemetry_cmd"),
    *("experimental_metrics_settings", "disable_snapshots", "enable_feature", "disable_feature", "default_registry"),
)
"""The functions that only set something, besides those of `v1alpha1`."""
