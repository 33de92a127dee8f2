"""The hooks' own command lines, for people and for `before:`; errors become a sentence, a hint and an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.errors import ConfigError, DevtoolsError
from platform_hooks.migrations import BUNDLED, NAMESPACE, WRITTEN, flyway

if TYPE_CHECKING:
    from devtools.kube.client import Kube

Say = Callable[[str], None]
LOCAL = "local"
POD = ("vault", "vault-0")
SERVICE = "vault/services/http:vault:8200"

_SEEDING = """
Gives a local Vault every secret that the platform reads and it does not have yet, with random values. What is there
stays as it is; values are never shown. Which secrets: environments/_shared/15-secrets-certificates/vault-secrets.yaml.
Variables: VAULT_ADDR, VAULT_TOKEN, KUBECONFIG, DEVTOOLS_CONTEXT, DEVTOOLS_ENVIRONMENT.
"""
_WRITING = f"""
Writes Secret {NAMESPACE}/{WRITTEN} with FLYWAY_URL, FLYWAY_USER and FLYWAY_PASSWORD: the variables of the same names
where they are set, else what Secret {NAMESPACE}/{BUNDLED} says (there also as DB_USERNAME, DB_PASSWORD).
Variables: FLYWAY_URL, FLYWAY_USER, FLYWAY_PASSWORD, KUBECONFIG, DEVTOOLS_CONTEXT.
"""


def seed_vault(argv: Sequence[str], environ: Mapping[str, str], root: Path, say: Say) -> int:
    """`scripts/vault/ensure-local-secrets.py`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ensure-local-secrets.py", description=_SEEDING)
    _common(parser, environ)
    parser.add_argument(
        "--environment",
        default=environ.get("DEVTOOLS_ENVIRONMENT") or LOCAL,
        help="whose secrets; only `local` is seeded, since every other Vault has owners",
    )
    parser.add_argument(
        "--address", default=environ.get("VAULT_ADDR", ""), help="of Vault; default: by way of the cluster's API server"
    )
    parser.add_argument("--mount", default="", help="of the KV v2 engine; default: what the values say")
    return _run(lambda: _seed(parser.parse_args(argv), environ, root, say), say)


def _seed(options: argparse.Namespace, environ: Mapping[str, str], root: Path, say: Say) -> None:
    from platform_hooks.cluster import is_simulated, through_api_server
    from platform_hooks.vault import Address, VaultStore, ensure
    from platform_hooks.wanted import read_seeds

    if options.environment != LOCAL:
        say(f"skipped: the Vault of environment {options.environment} is filled by its owners")
        return
    seeds = read_seeds(root / "environments", options.environment)
    if options.address:
        place = nullcontext(Address(url=options.address))
    else:
        kubeconfig, context = _target(options)
        if is_simulated(_kube(kubeconfig, context), *POD):
            say("skipped: Vault is a simulated pod, nothing listens in it")
            return
        place = through_api_server(kubeconfig, context, SERVICE)  # type: ignore[assignment]
    token = environ.get("VAULT_TOKEN") or seeds.development_token
    if not token:
        raise DevtoolsError("no token for Vault", hint="set VAULT_TOKEN")
    with place as address:
        store = VaultStore(address, token, options.mount or seeds.mount)
        say(f"Vault: {ensure(store, seeds.secrets, say)}")


def write_migrations_secret(argv: Sequence[str], environ: Mapping[str, str], say: Say) -> int:
    """`scripts/infra/bootstrap-db-migrations-secret.sh`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="bootstrap-db-migrations-secret.sh", description=_WRITING)
    _common(parser, environ)
    return _run(lambda: _write(parser.parse_args(argv), environ, say), say)


def _write(options: argparse.Namespace, environ: Mapping[str, str], say: Say) -> None:
    from platform_hooks.cluster import secret, write_secret

    kube = _kube(*_target(options))
    found = flyway(environ, secret(kube, NAMESPACE, BUNDLED))
    if secret(kube, NAMESPACE, WRITTEN) == dict(found.values):
        say(f"Secret {NAMESPACE}/{WRITTEN} is unchanged")
        return
    write_secret(kube, NAMESPACE, WRITTEN, found.values)
    for name, source in found.sources.items():
        say(f"{name}: from {source}")
    say(f"Secret {NAMESPACE}/{WRITTEN} is written")


def _common(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("--kubeconfig", default=environ.get("KUBECONFIG", ""), help="file; default: $KUBECONFIG")
    parser.add_argument(
        "--context", default=environ.get("DEVTOOLS_CONTEXT", ""), help="kube context; default: $DEVTOOLS_CONTEXT"
    )


def _target(options: argparse.Namespace) -> tuple[Path, str]:
    """Both must be said: what happens to be the current context is never written to."""
    for name in ("kubeconfig", "context"):
        if not getattr(options, name):
            raise ConfigError(f"--{name} is missing", hint="invoke cluster.status shows both")
    return Path(options.kubeconfig), options.context


def _kube(kubeconfig: Path, context: str) -> Kube:
    from devtools.kube import client as kube
    from devtools.process.runner import Cancel

    return kube.Kube(kubeconfig, context, Cancel())


def _run(work: Callable[[], None], say: Say) -> int:
    try:
        work()
    except DevtoolsError as error:
        say(f"error: {error.message}")
        if error.hint:
            say(f"  hint: {error.hint}")
        return int(error.exit_code)
    return 0
