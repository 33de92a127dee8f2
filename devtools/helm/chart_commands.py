"""Helm 4 as a tool for charts: commands that fetch, check and pack them, and the references that name a chart's source.

Flags: https://helm.sh/docs/helm/ for 4.x. Repositories and caches are private to a run, so the
user's own Helm repositories have no effect; registry credentials stay where `helm registry login` stores them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from devtools.helm.commands import BRIEF
from devtools.process.runner import Command

OCI = "oci://"
PUBLISHER = "{publisher}"  # stands for the publisher of a chart in the URL of a mirror
SOURCE = "source"  # the name of the repository that a chart is fetched from
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")
_PULL = 300.0  # seconds: charts are small, networks are slow
_LOCAL = 120.0  # seconds for commands that need no network
_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmCharts:
    """One helm program that keeps its caches and its list of repositories below `home`."""

    program: Path
    home: Path
    knows_sources: bool = False  # `repositories` says where `source` and others are, and the credentials
    is_logged_in: bool = False  # `registry` holds credentials of registries; else helm's own do
    ca: Path | None = None  # authorities to trust in a registry's certificate
    secrets: tuple[str, ...] = ()  # to redact from all output

    @property
    def repositories(self) -> Path:
        """The file of helm's list of repositories."""
        return self.home / "repositories.yaml"

    @property
    def registry(self) -> Path:
        """The file of helm's credentials for registries."""
        return self.home / "registry.json"

    @property
    def index(self) -> Path:
        """The index of `source`, once `update` has fetched it."""
        return self.home / "repository" / f"{SOURCE}-index.yaml"

    def update(self, *names: str) -> Command:
        """Fetch the indexes of repositories that helm knows by these names."""
        return self._command("repo", "update", *names, timeout=_PULL)

    def pull(self, source: str, name: str, version: str, into: Path) -> Command:
        """Fetch a chart's archive, and its provenance file if there is one, into a directory.

        `source` is the URL of a chart repository, or an OCI reference that ends with the chart's name.
        """
        words = ("--version", version, "--destination", str(into), "--prov")
        return self._command(*self._chart("pull", source, name), *words, timeout=_PULL)

    def latest(self, source: str, name: str, within: str = "") -> Command:
        """Print Chart.yaml of the newest version that is not a pre-release, `within` a range such as `~1.2` if set."""
        words = ("--version", within) if within else ()
        return self._command(*self._chart("show", source, name), *words, timeout=_PULL)

    def show_archive(self, archive: Path) -> Command:
        """Print Chart.yaml of an archive, if helm can load it."""
        return self._command("show", "chart", str(archive), timeout=_LOCAL)

    def verify(self, archive: Path, keyring: Path) -> Command:
        """Check an archive against the provenance file next to it."""
        return self._command("verify", str(archive), "--keyring", str(keyring), timeout=_LOCAL)

    def build_dependencies(self, directory: Path) -> Command:
        """Fetch the dependencies in a chart directory's Chart.lock, otherwise those in its Chart.yaml."""
        ca = ("--ca-file", str(self.ca)) if self.ca else ()
        return self._command("dependency", "build", str(directory), *ca, timeout=_PULL)

    def package(self, directory: Path, into: Path) -> Command:
        """Pack a chart directory."""
        return self._command("package", str(directory), "--destination", str(into), timeout=_LOCAL)

    def _chart(self, verb: str, source: str, name: str) -> tuple[str, ...]:
        """Return a helm command about a chart, whatever kind of source it has."""
        verbs = ("show", "chart") if verb == "show" else (verb,)
        if source.startswith(OCI):
            ca = ("--ca-file", str(self.ca)) if self.ca else ()
            return (*verbs, source, *(("--plain-http",) if is_loopback(source) and not self.ca else ()), *ca)
        return (*verbs, f"{SOURCE}/{name}") if self.knows_sources else (*verbs, name, "--repo", source)

    def _command(self, *words: str, timeout: float) -> Command:
        env = {**BRIEF, "HELM_CACHE_HOME": str(self.home), "HELM_REPOSITORY_CONFIG": str(self.repositories)}
        env |= {"HELM_REGISTRY_CONFIG": str(self.registry)} if self.is_logged_in else {}
        argv = (str(self.program), *words, "--color", "never")
        return Command(argv=argv, env=env, timeout=timeout, secrets=self.secrets)


def split_credentials(url: str) -> tuple[str, str, str]:
    """Split `https://user:password@host/…` into URL, user and password; other URLs have no credentials."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    if not separator or not at:
        return url, "", ""
    username, _, password = userinfo.partition(":")
    return f"{scheme}://{host}{slash}{path}", unquote(username), unquote(password)


def is_loopback(url: str) -> bool:
    """Return whether a URL is on this machine, where traffic is not encrypted."""
    try:
        return _LOOPBACK.fullmatch(urlsplit(url).hostname or "") is not None
    except ValueError:
        return False


def oci_reference(base: str, name: str) -> str:
    """Return the reference of a chart in a registry's namespace, or `base` itself if it already names the chart."""
    base = base.rstrip("/")
    return base if base.endswith(f"/{name}") else f"{base}/{name}"


def newer(one: str, other: str) -> bool:
    """Return whether version `one` is newer than `other` by Semantic Versioning 2.0.0; a leading `v` is ignored."""
    return _order(one) > _order(other)


def newest(versions: Mapping[str, object] | list[str]) -> str:
    """Return the newest version, a pre-release only if there is nothing else; empty if there are no versions."""
    known = [version for version in versions if _SEMVER.fullmatch(version)]
    releases = [version for version in known if "-" not in version.partition("+")[0]]
    return max(releases or known, key=_order, default="")


def _order(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """Return a sort key for versions; text that is not a version comes first."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        return (), False, ()
    *numbers, pre = match.groups()
    parts = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in (pre or "").split("."))
    return tuple(map(int, numbers)), pre is None, parts if pre else ()
