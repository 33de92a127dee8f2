"""Runs the pinned helmfile, which executes the templates of a helmfile, and reads value files like helm.

helmfile renders only templates among them; nothing is decrypted.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_source
from devtools.errors import EnvironmentFault, Interrupted, Location, Problem, TimedOut, raise_problems
from devtools.helm.commands import BRIEF
from devtools.imports.model import Secret
from devtools.imports.positions import Places
from devtools.imports.states import State, read_states
from devtools.process.runner import Command
from devtools.toolchain.versions import tool

_SOURCE = re.compile(r"^#  Source: (.+)$", re.MULTILINE)
_TEMPLATE = ".gotmpl"
_LIMIT = 600.0  # seconds for one environment: templates may run arbitrary programs
_LINES = 12  # number of last lines of an error to show
_KEEP = 64 * 1024 * 1024  # bytes of output
# helmfile decrypts files of an environment with helm's plugin `secrets`; this one returns them unchanged
_PLUGIN = """\
apiVersion: v1
type: cli/v1
name: secrets
version: 4.6.0
runtime: subprocess
config: {usage: secrets, shortHelp: shows an encrypted file, longHelp: shows an encrypted file}
runtimeConfig: {platformCommand: [{command: "${HELM_PLUGIN_DIR}/show"}]}
"""
_SHOW = """\
#!/bin/sh
for file; do :; done
grep -q -e 'ENC\\[' -e 'ref+' "$file" || { echo "$file is not encrypted" >&2; exit 1; }
exec cat "$file"
"""
# helmfile asks for the version a dozen times for each kustomization, which took most of its time
_HELM = """\
#!/bin/sh
[ "$1" != version ] || exec echo v{version}
exec {helm} "$@"
"""
# helmfile renders kustomizations while reading; the import copies their files, so this program renders nothing
_KUSTOMIZE = """\
#!/bin/sh
case "$1" in
  version) echo v5.7.1 ;;
  -o) : > "$2" ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmfileProgram:
    """The helmfile program for one state file; its directories are below `home`."""

    app: App
    file: Path
    home: Path
    has_hooks: bool = True  # if empty, helmfile gets a flag that disables hooks
    built: dict[tuple[str, bool], str] = field(default_factory=dict)

    def build(self, environment: str, *, embed: bool = False) -> str:
        """Return every state file as helmfile evaluates it; with `embed` including the contents of value files.

        Raises EnvironmentFault, Interrupted or TimedOut.
        """
        if (environment, embed) not in self.built:
            text = self._run(environment, "build", *(("--embed-values",) if embed else ()))
            self.built[environment, embed] = _SOURCE.sub(self._source, text)
        return self.built[environment, embed]

    def listed(self, environment: str) -> str:
        """Return the releases as JSON. Raises like `build`."""
        return self._run(environment, "list", "--output", "json")

    @property
    def _directory(self) -> Path:
        return self.file if self.file.is_dir() else self.file.parent

    def _source(self, match: re.Match[str]) -> str:
        """Return the line that names a state file; for a directory, helmfile prefixes the full path with its own."""
        whole = match[1].removeprefix(str(self._directory))
        return f"#  Source: {whole if Path(whole).is_file() else match[1]}"

    def _run(self, environment: str, *words: str) -> str:
        helmfile, helm = str(self.app.toolchain.path("helmfile")), str(self.home / "bin" / "helm")
        common = ("--helm-binary", helm, "--file", str(self.file), "--environment", environment, "--no-color")
        common = (*common, *(("--sequential-helmfiles",) if self.file.is_dir() else ()))  # else in any order
        command = Command(
            argv=(helmfile, *common, "--quiet", "--allow-no-matching-release", *words),
            env=self._environment(),
            cwd=self._directory,
            timeout=_LIMIT,
            keep=_KEEP,
        )
        result = self.app.runner.run(command)
        if result.cancelled:
            raise Interrupted("stopped while helmfile ran; nothing was written")
        if result.timed_out:
            raise TimedOut(f"helmfile took more than {_LIMIT / 60:.0f} min in environment '{environment}'")
        if not result.ok:
            lines = [line for line in result.stderr.splitlines() if line.strip()][-_LINES:]
            text = self.app.redactor.text("\n".join(lines))
            hint = f"try it by itself: helmfile --environment {environment} build"
            raise EnvironmentFault(f"helmfile {words[0]} failed in environment '{environment}': {text}", hint=hint)
        return result.stdout

    def _environment(self) -> Mapping[str, str]:
        plugin = self.home / "plugins" / "secrets"
        if not plugin.exists():
            plugin.mkdir(parents=True)
            (plugin / "plugin.yaml").write_text(_PLUGIN, "utf-8")
            (plugin / "show").write_text(_SHOW, "utf-8")
            (plugin / "show").chmod(0o700)
        programs = self.home / "bin"
        if not programs.exists():
            programs.mkdir()  # on PATH: for secrets, helmfile looks helm up there
            helm = _HELM.format(version=tool("helm").version, helm=shlex.quote(str(self.app.toolchain.path("helm"))))
            for name, text in (("helm", helm), ("kustomize", _KUSTOMIZE)):
                (programs / name).write_text(text, "utf-8")
                (programs / name).chmod(0o700)
        homes = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return {
            **homes,
            **BRIEF,
            "HELM_PLUGINS": str(self.home / "plugins"),
            "HELMFILE_CACHE_HOME": str(self.home / "helmfile"),
            "HELMFILE_TEMPDIR": str(self.home),
            "HELMFILE_DISABLE_HOOKS": "" if self.has_hooks else "true",
            "PATH": os.pathsep.join((str(programs), self.app.environ.get("PATH", os.defpath))),
            "HELMFILE_UPGRADE_NOTICE_DISABLED": "true",
        }


def states_with_values(program: HelmfileProgram, environment: str) -> tuple[State, ...]:
    """Return the state files with the names of value files replaced by their contents.

    helmfile resolves `ref+` references in embedded files, so a template with such a reference is a ConfigError.
    """
    states = read_states(program.build(environment))
    _refuse_references(states)
    rendered = read_states(program.build(environment, embed=True)) if any(_templates(states)) else states
    return tuple(
        replace(state, data={**state.data, "releases": [*_releases(state, other)]})
        for state, other in zip(states, rendered, strict=True)
    )


def _templates(states: tuple[State, ...]) -> Iterator[Path]:
    """Yield the value files that are templates."""
    for state in states:
        for release in state.data.get("releases") or ():
            for entry in release.get("values") or ():
                if isinstance(entry, str) and entry.endswith(_TEMPLATE):
                    yield _path(state, release, entry)


def _path(state: State, release: Mapping[str, Any], entry: str) -> Path:
    return state.source.parent / f"{release.get('valuesPathPrefix') or ''}{entry}"


def _refuse_references(states: tuple[State, ...]) -> None:
    problems = []
    templates = dict.fromkeys(_templates(states))
    for path in dict.fromkeys((*(state.source for state in states), *templates)):
        text = read_source(path).decode("utf-8", errors="replace") if path.is_file() else ""
        for where, function in Places({path: text}, path.parent).secret_functions():
            line, message = int(where.rpartition(":")[2]), f"{function} would write a secret into the overlays"
            hint = "write the reference itself (ref+…) into a value file that is not a template"
            problems.append(Problem(where=Location(file=path, line=line), message=message, hint=hint))
        lines = text.splitlines() if path in templates else []
        numbers = [number for number, line in enumerate(lines, 1) if "ref+" in line]
        message, hint = "helmfile resolves a reference in a template", "move it to a value file that is not a template"
        problems += [Problem(where=Location(file=path, line=n), message=message, hint=hint) for n in numbers[:1]]
    raise_problems(problems)


def _releases(state: State, rendered: State) -> Iterator[dict[str, Any]]:
    pairs = zip(state.data.get("releases") or (), rendered.data.get("releases") or (), strict=True)
    for release, other in pairs:
        embedded = iter(other.get("values") or ())
        values, unclear = [], []
        for entry in release.get("values") or ():
            if not isinstance(entry, str):
                values.append(entry)
                next(embedded, None)
                continue
            path = _path(state, release, entry)
            if entry.endswith(_TEMPLATE):
                if path.is_file():
                    values.append(tree := next(embedded, None) or {})
                    unclear += [*_yes_or_no(tree)]
            elif path.is_file():
                next(embedded, None)
                values.append(read_map(read_source(path)))
        secrets = [_secret(state, release, entry) for entry in release.get("secrets") or ()]
        yield {**release, "values": values, "secrets": secrets, "unclear": unclear}


def _secret(state: State, release: Mapping[str, Any], entry: Any) -> Secret:
    if not isinstance(entry, str):
        return Secret(name="values in the helmfile", raw=b"")
    try:
        return Secret(name=entry, raw=read_source(_path(state, release, entry)))
    except OSError:
        return Secret(name=entry, raw=b"")


def _yes_or_no(tree: Any, above: str = "") -> Iterator[str]:
    """Yield the paths of words that helm reads as booleans if a template prints them without quotes."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _yes_or_no(value, f"{above}.{key}" if above else str(key))
    elif isinstance(tree, list):
        for value in tree:
            yield from _yes_or_no(value, above)
    elif isinstance(tree, str) and tree.lower() in {"yes", "no", "on", "off", "y", "n"}:
        yield above
