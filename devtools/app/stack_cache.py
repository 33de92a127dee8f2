"""Loads the stack from its files, or from the cache if the files are unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.base.atomic_write import OWN
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault, config_error
from devtools.model import SYNCED, Environment, Planned, Release, Stack

if TYPE_CHECKING:
    from devtools.charts.resolve import Charts
    from devtools.clusters.provider import Cluster
    from devtools.sops.decryption import Decryption


def cached_stack(app: App) -> Stack:
    """Load the stack of the app's environment; raises ConfigError with every problem."""
    settings, environment, sets = app.settings, app.environment_name, app.sets

    def read() -> Stack:
        from devtools.config.stack import load_stack

        charts = app.charts
        _ = charts.lock  # reports its faults first, even if no chart of it is used
        return load_stack(settings, environment, charts, sets)

    name = f"stack {settings.root} {environment} {_provider(app)}" + (f" {sets!r}" if sets else "")
    return _cached(app, name, app.charts, read)


def exported_stack(app: App, environment: str) -> Stack:
    """Return the stack as an environment sees it, without stand-ins, because a controller deploys real charts."""

    def read() -> Stack:
        from devtools.config.stack import load_stack

        return load_stack(app.settings, environment, app.real_charts)

    return _cached(app, f"exported stack {app.settings.root} {environment}", app.real_charts, read)


def _cached(app: App, name: str, charts: Charts, read: Callable[[], Stack]) -> Stack:
    return app.cached(name, _inputs(app), read, kind=Stack, good=lambda stack: _is_current(stack, charts))


def cached_values(app: App, stack: Stack, releases: Iterable[Release]) -> Mapping[str, Mapping[str, Any]]:
    """Return the merged values of releases by `namespace/name`; raises ConfigError if an overlay cannot be read.

    Secrets that references copied from the environment are marked.
    """
    from devtools.config.references.secrecy import marking

    by_name = {str(release.id): release for release in releases}

    def read() -> dict[str, Any]:
        from devtools.config.values import merge

        return {
            name: (_own(release), merge(release, stack.environment, root=stack.root).data)
            for name, release in by_name.items()
        }

    def is_of_these(merges: dict[str, Any]) -> bool:
        # the files may have changed since the stack was read: a run that waited for its lock has an old stack
        return all(name in merges and merges[name][0] == _own(release) for name, release in by_name.items())

    name = f"values {stack.root} {_referred(stack.environment)} {_provider(app)} {' '.join(by_name)}"
    merges = app.cached(name, _inputs(app), read, kind=dict[str, tuple[str, Any]], good=is_of_these)
    mark = marking(stack.environment)
    return {name: mark(data) for name, (_, data) in merges.items()}


def decrypted_values(app: App, releases: Iterable[Release]) -> Mapping[Path, Mapping[str, Any]]:
    """Decrypt the encrypted overlays of releases, each once in this process; in memory only.

    The values are marked as secret and known to the redactor. Raises ConfigError with every file that cannot be
    decrypted.
    """
    chosen = list(releases)
    files = dict.fromkeys(file for release in chosen for file in release.secret_files)
    if missing := [file for file in files if file not in app.decrypted]:
        found = decryption(app).each(missing)
        if problems := [item.problem for item in found.values() if item.problem]:
            raise config_error(problems)
        for file, item in found.items():
            app.redactor.learn(item.data)
            app.decrypted[file] = item.data
    for release in chosen:
        _require_unchanged(app, release)
    return {file: app.decrypted[file] for file in files}


def _require_unchanged(app: App, release: Release) -> None:
    """Raise ConfigError if encrypted files changed since the release's digest was computed."""
    from devtools.base.yaml_positions import read
    from devtools.sops.encrypted_file import ciphertext_digest

    if ciphertext_digest(read(file).data for file in release.secret_files) != release.secrets_digest:
        shown = ", ".join(str(file.relative_to(app.settings.root)) for file in release.secret_files)
        raise ConfigError(f"{shown} changed while it was read", hint="run the command again")


def with_secrets(app: App, planned: Planned, cluster: Cluster | None = None) -> Planned:
    """Merge the encrypted values into those of every release that a plan syncs; only then are keys needed.

    A cluster overrides values of smoke tests. Raises ConfigError like `decrypted_values`.
    """
    releases = [step.release for step in planned.plan.steps if step.action in SYNCED and step.release.secret_files]
    if not releases:
        return planned
    from devtools.config.values import overlaid

    encrypted, values = decrypted_values(app, releases), dict(planned.inputs.values)
    for release in releases:
        own = [encrypted[file] for file in release.secret_files]
        for above in (*own, cluster.smoke_values) if release.smoke and cluster else own:
            values[release.id] = overlaid(values[release.id], above)
    return replace(planned, inputs=replace(planned.inputs, values=values))


def require_keys(app: App, releases: Iterable[Release]) -> None:
    """Raise ConfigError if there is no cluster yet and the values for its releases cannot be decrypted."""
    with_files = [release for release in releases if release.secret_files]
    if not with_files:
        return
    try:
        app.provider.find()
    except DevtoolsError:
        decrypted_values(app, with_files)


def decryption(app: App) -> Decryption:
    """Return the decrypter, which uses sops; sops is built first if it is missing."""
    from devtools.sops.decryption import Decryption

    token = {"VAULT_TOKEN": app.environ["VAULT_TOKEN"]} if "VAULT_TOKEN" in app.environ else {}
    return Decryption(program=app.tool("sops"), runner=app.runner, root=app.settings.root, env=token)


def _own(release: Release) -> str:
    """Return the keys of a release that affect its values, besides the files it names; distinguishes 1 from true."""
    return repr((release.values, release.values_files, release.secrets_digest))


def _referred(environment: Environment) -> str:
    """Return the environment's name, and the values that references in overlays resolve to."""
    if not environment.references:
        return environment.name
    return f"{environment.name} {environment.values!r} {environment.texts!r}"


def _inputs(app: App) -> tuple[Path, ...]:
    """Return every file and directory that a stack is read from."""
    settings = app.settings
    return (settings.root / "devtools.yaml", settings.layers, settings.environments, settings.charts)


def is_inside_inputs(app: App, directory: Path) -> bool:
    """Return whether a directory to write into is among the files of the stack, of git or of devtools."""
    root = app.settings.root
    return any(directory.is_relative_to(path.resolve()) for path in (*_inputs(app), root / OWN, root / ".git"))


def _provider(app: App) -> str:
    """Return the provider's name, which decides about stand-ins; commands that need a cluster report its faults."""
    try:
        return app.provider_name
    except EnvironmentFault:
        return ""


def _is_current(stack: Stack, charts: Charts) -> bool:
    """Return whether the files that the stack depends on besides its inputs are still there.

    Stand-ins are in a cache that users may empty; the bases of kustomizations and files whose text is referred to may
    be anywhere in the repository.
    """
    used = {release.chart.name: release.chart for release in stack.releases()}
    if not all(charts.is_current(chart, stack.environment.name) for chart in used.values()):
        return False
    if not stack.environment.texts:
        return True
    from devtools.config.references.texts import are_unchanged

    return are_unchanged(stack.root, stack.environment.texts)
