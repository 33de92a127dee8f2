"""Tilt's `config`: settings that a Tiltfile defines, given after `--` on Tilt's command line or in tilt_config.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from devtools.base.machine_json import read_json
from devtools.tilt.harness import values
from devtools.tilt.harness.values import Refused

Kind = Literal["string_list", "string", "bool"]
FILE = "tilt_config.json"


@dataclass(slots=True, kw_only=True)
class Arguments:
    """The settings of one evaluation."""

    words: tuple[str, ...]  # after `--`
    main: Path  # the Tiltfile
    watch: Callable[[str], None]
    kinds: dict[str, Kind] = field(default_factory=dict)
    positional: str = ""  # the setting that takes words that are no flags
    parsed: bool = False
    enabled: tuple[str, ...] = ()  # resources to run; none: all
    cleared: bool = False

    def define(self, kind: Kind) -> Callable[..., None]:
        """`config.define_<kind>`."""

        def defined(name: Any, args: Any = False, usage: Any = "") -> None:  # noqa: FBT002 - Tilt's signature
            name = values.text_of(name, "name")
            values.text_of(usage, "usage")
            if self.parsed:
                raise Refused(f"config.define_{kind}({name!r}) cannot be called after config.parse is called")
            if name in self.kinds:
                raise Refused(f"{name} defined multiple times")
            if args and self.positional:
                raise Refused(f"both {name} and {self.positional} are defined with args=True")
            self.kinds[name] = kind
            self.positional = name if args else self.positional

        return defined

    def parse(self) -> dict[str, Any]:
        """`config.parse`: what tilt_config.json and, over it, the words say; settings that neither gives are absent."""
        self.parsed = True
        return {**self._file(), **self._words()}

    def set_enabled_resources(self, resources: Any) -> None:
        """`config.set_enabled_resources`."""
        self.enabled = values.texts_of(resources, "resources")

    def clear_enabled_resources(self) -> None:
        """`config.clear_enabled_resources`."""
        self.cleared = True

    def chosen(self) -> tuple[str, ...]:
        """The resources that were asked for; none: all."""
        return self.enabled or (() if self.parsed else self.words)

    def _file(self) -> dict[str, Any]:
        path = self.main.parent / FILE
        self.watch(str(path))
        if not path.is_file():
            return {}
        try:
            found = dict(read_json(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise Refused(f"{path} does not hold JSON settings by name") from error
        for name in found:
            if name not in self.kinds:
                raise Refused(f"{path} specified unknown setting name {name!r}")
        return found

    def _words(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        rest = list(self.words)
        while rest:
            word = rest.pop(0)
            if word.startswith("--") and word != "--":
                name, given, value = word[2:].partition("=")
                self._flag(found, name, value if given else None, rest)
            elif word != "--":
                if not self.positional:
                    raise Refused(f"positional CLI args ({word!r}) were specified, but none were expected")
                self._put(found, self.positional, word)
        return found

    def _flag(self, found: dict[str, Any], name: str, value: str | None, rest: list[str]) -> None:
        """One `--name value`, `--name=value`, or `--name` of a bool."""
        if name not in self.kinds:
            raise Refused(f"unknown flag: --{name}")
        if value is None and self.kinds[name] == "bool":
            value = "true"
        if value is None:
            if not rest:
                raise Refused(f"flag needs an argument: --{name}")
            value = rest.pop(0)
        self._put(found, name, value)

    def _put(self, found: dict[str, Any], name: str, value: str) -> None:
        kind = self.kinds[name]
        if kind == "string_list":
            found.setdefault(name, []).append(value)  # a comma does not part it: Tilt's flags do not either
        elif kind == "bool":
            if value.lower() not in {"true", "t", "1", "false", "f", "0"}:
                raise Refused(f"invalid argument {value!r} for --{name}: want a bool")
            found[name] = value.lower() in {"true", "t", "1"}
        elif name in found:
            raise Refused(f"{name}: string settings can only be specified once")
        else:
            found[name] = value
