"""Fetches a directory of a Git repository at a commit.

Files are exactly as committed: no hook, filter or conversion of a checkout changes them. Only those settings of the
user's git configuration apply that determine how to reach a host: proxies, credential helpers, URL rewriting.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from devtools.base.archives import UNREADABLE, members, unpack
from devtools.base.atomic_write import write_whole
from devtools.base.open_file import opened
from devtools.charts.lock import LockEntry
from devtools.charts.sources.credentials import Access
from devtools.errors import ConfigError, EnvironmentFault, Interrupted, TimedOut
from devtools.helm.chart_commands import newer, newest
from devtools.process.runner import Command, Result, Runner

_SLOW = 300.0  # seconds
_COMMIT = re.compile(r"[0-9a-f]{40}")
_AWAY = re.compile(
    r"Could not resolve host|Failed to connect|Connection (?:refused|timed out|reset)|timed out|unable to connect"
)
_AS_COMMITTED = "* -text -filter -ident -export-subst -export-ignore -working-tree-encoding\n"
_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "http.followRedirects": "false",  # a redirect could lead to another host
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
}
_VERSION = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """One repository that charts come from; `home` is a directory that only this user can read."""

    url: str
    access: Access
    runner: Runner
    environ: Mapping[str, str]
    home: Path

    def fetch(self, entry: LockEntry, into: Path, *, again: bool) -> tuple[str, tuple[str, ...]]:
        """Write the files of the entry's commit, else of its `ref`, below a directory.

        Returns the commit, and the paths of symbolic links, which are left out. With `again` the pinned commit is
        ignored. Raises ConfigError if there is no such ref or commit, or if a tag is not at the pinned commit.
        """
        self._make()
        tag, found = self._find(entry.ref)
        pinned = "" if again else entry.commit
        if pinned and tag and found != pinned:
            message = f"tag {entry.ref} of {self.url} is at {found[:12]}, and commit {pinned[:12]} is locked"
            raise ConfigError(message, hint=f"if that is right, set commit and sha256 to null at {entry.where}")
        commit = pinned or found
        self._fetch(commit, entry.ref)
        archive = self.home / "tree.tar"
        # including everything next to it: charts may depend on that (`file://../x`)
        above = posixpath.dirname(posixpath.normpath(entry.path)) or "."
        self._git("archive", "--format=tar", f"--output={archive}", commit, "--", above)
        try:
            with opened(archive) as raw, tarfile.open(fileobj=raw) as file:
                links = tuple(member.name for member in members(file) if member.issym())
            unpack(archive, into)
        except UNREADABLE as error:
            raise ConfigError(f"{self.url} at {commit[:12]} cannot be unpacked: {error}") from error
        return commit, links

    def newest_tag(self, ref: str) -> tuple[str, str]:
        """Return the newest version among the tags that are named like `ref`, and an error text."""
        match = _VERSION.search(ref)
        if match is None:
            return "", f"ref '{ref}' does not end with a version"
        try:
            self._make()
            lines = self._git("ls-remote", "--tags", "--refs", "--", self.url).splitlines()
        except (ConfigError, EnvironmentFault) as error:
            return "", error.message
        prefix = ref[: match.start()]
        tags = [line.partition("\trefs/tags/")[2] for line in lines]
        versions = [tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)]
        latest = newest(versions)
        return prefix + latest if latest and newer(latest, match[0]) else ref, ""

    def _find(self, ref: str) -> tuple[bool, str]:
        """Return whether a ref is a tag, and the commit that it points to."""
        if _COMMIT.fullmatch(ref):
            return True, ref
        names = (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}")
        lines = self._git("ls-remote", "--", self.url, *names).splitlines()
        found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        for name in names:
            if name in found:
                return name.startswith("refs/tags/"), found[name]
        raise ConfigError(f"{self.url} has no tag or branch '{ref}'", hint="look at ref")

    def _fetch(self, commit: str, ref: str) -> None:
        """Fetch one commit; from a server that does not serve single commits, the whole `ref`."""
        fetch = ("fetch", "--quiet", "--no-tags")
        if self._run(*fetch, "--depth=1", "--", self.url, commit).ok:
            return
        self._git(*fetch, "--", self.url, ref)
        if not self._run("cat-file", "-e", f"{commit}^{{commit}}").ok:
            raise ConfigError(f"commit {commit[:12]} is not in {ref} of {self.url}", hint="set commit to null")

    def _make(self) -> None:
        """Create an empty repository to fetch into."""
        self._git("init", "--quiet", "--bare", "--template=")
        write_whole(self._repository / "info/attributes", _AS_COMMITTED)

    @property
    def _repository(self) -> Path:
        return self.home / "repository"

    def _git(self, *words: str) -> str:
        """Run git and return its output; raises ConfigError or EnvironmentFault with its error message."""
        result = self._run(*words)
        if result.ok:
            return result.stdout
        if result.timed_out:
            raise TimedOut(f"git {words[0]} of {self.url} took longer than {_SLOW:.0f} s")
        text = " ".join(result.stderr.split()).removeprefix("fatal: ")
        kind = EnvironmentFault if _AWAY.search(text) else ConfigError
        raise kind(f"git {words[0]} of {self.url} failed: {text}")

    def _run(self, *words: str) -> Result:
        program = shutil.which("git", path=self.environ.get("PATH"))
        if program is None:
            raise EnvironmentFault(f"git is not installed, and {self.url} is a Git repository", hint="install git")
        config = [word for key, value in (_CONFIG | self._keys()).items() for word in ("-c", f"{key}={value}")]
        if self.access.login:  # the first, empty one disables other helpers
            config[:0] = ("-c", "credential.helper=")
        argv = (program, f"--git-dir={self._repository}", *config, *words)
        result = self.runner.run(Command(argv=argv, env=self._env(), timeout=_SLOW, secrets=self.access.secrets))
        if result.cancelled:
            raise Interrupted("interrupted while git ran")
        return result

    def _keys(self) -> dict[str, str]:
        """Return git configuration keys for credentials and authorities, which git reads from files."""
        keys = {"http.sslCAInfo": str(self.access.ca)} if self.access.ca else {}
        if (login := self.access.login) and self.url.startswith("https://"):
            url = urlsplit(self.url)
            line = f"{url.scheme}://{quote(login.username, '')}:{quote(login.password, '')}@{url.netloc}\n"
            file = self.home / "credentials"
            if not file.exists():
                write_whole(file, line, mode=0o600)
            keys["credential.helper"] = f"store --file={shlex.quote(str(file))}"
        return keys

    def _env(self) -> dict[str, str]:
        """Return an environment in which git never prompts, uses one protocol, and reads no other repository."""
        ssh = self.environ.get("GIT_SSH_COMMAND") or "ssh"
        return {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GCM_INTERACTIVE": "never",
            "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes",
            "GIT_ALLOW_PROTOCOL": urlsplit(self.url).scheme,
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_DIR": str(self._repository),
            "GIT_INDEX_FILE": str(self._repository / "index"),
            "GIT_OBJECT_DIRECTORY": str(self._repository / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
            "LC_ALL": "C",
        }
