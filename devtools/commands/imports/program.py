"""Runs the pinned helmfile, which executes the templates of a helmfile; nothing is decrypted."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools.app.environment import App
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.helm.commands import BRIEF
from devtools.process.runner import Command
from devtools.toolchain.versions import tool

_SOURCE = re.compile(r"^#  Source: (.+)$", re.MULTILINE)
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
            raise EnvironmentFault(
                f"helmfile {words[0]} failed in environment '{environment}': {text}",
                hint=f"try it by itself: helmfile --environment {environment} build",
            )
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
