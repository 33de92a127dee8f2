"""Seeds Vault's KV v2 engine: creates what is missing, changes nothing that is there, tells names and never values.

The API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2. Every write is a check-and-set on the version
that was read, so two who seed at the same time end with one of the two values, not with a mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from devtools.errors import DevtoolsError, EnvironmentFault
from platform_hooks.wanted import Wanted, random_value

RACES = 5  # how often another writer may come first before we give up
TIMEOUT = 10  # seconds for one answer
_WHERE = "VAULT_ADDR or --address says where it is"


class LostRace(DevtoolsError):
    """Another writer wrote between our read and our write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """What lies at a path: its data (empty where there is none), and the version that a write must name."""

    data: Mapping[str, Any]
    version: int = 0


class Store(Protocol):
    """A KV v2 engine."""

    def read(self, path: str) -> StoredSecret:
        """What is there now."""

    def write(self, path: str, data: Mapping[str, Any], version: int) -> None:
        """Put a new version after `version`; raises LostRace where that is not the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """How many secrets were made, completed, or left as they were."""

    created: int = 0
    completed: int = 0
    unchanged: int = 0

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.created} created, {self.completed} completed, {self.unchanged} unchanged"


def ensure(
    store: Store,
    secrets: Iterable[Wanted],
    say: Callable[[str], None],
    make: Callable[[str], str] = random_value,
) -> Seeded:
    """Give every secret the properties it lacks, each with a value of `make`; says one line for each that changed."""
    created = completed = unchanged = 0
    for secret in secrets:
        match _ensure_one(store, secret, say, make):
            case "created":
                created += 1
            case "completed":
                completed += 1
            case _:
                unchanged += 1
    return Seeded(created=created, completed=completed, unchanged=unchanged)


def _ensure_one(store: Store, secret: Wanted, say: Callable[[str], None], make: Callable[[str], str]) -> str:
    for _ in range(RACES):
        stored = store.read(secret.path)
        missing = [name for name in secret.properties if stored.data.get(name) in (None, "")]
        if not missing:
            return "unchanged"
        try:
            store.write(secret.path, {**stored.data, **{name: make(name) for name in missing}}, stored.version)
        except LostRace:
            continue
        how = "completed" if stored.data else "created"
        say(f"{secret.path}: {how} ({', '.join(missing)})")
        return how
    raise DevtoolsError(
        f"{secret.path}: another process changed it during each of {RACES} attempts",
        hint="wait until they are done, then try again",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where Vault answers; certificate, key and authority are files, for the way through the API server."""

    url: str
    certificate: tuple[str, str] | None = None
    authority: str | bool = True


class VaultStore:
    """A KV v2 engine of a Vault, by hvac."""

    def __init__(self, address: Address, token: str, mount: str) -> None:
        """Nothing is connected to yet."""
        import hvac

        self._hvac = hvac
        self._mount = mount
        self._url = address.url
        self._client = hvac.Client(
            url=address.url, token=token, cert=address.certificate, verify=address.authority, timeout=TIMEOUT
        )

    def read(self, path: str) -> StoredSecret:
        """What is there now; a secret whose newest version was deleted counts as empty.

        Raises EnvironmentFault where Vault is sealed, cannot be reached or has no such engine, DevtoolsError where it
        refuses the token.
        """
        try:
            answer = self._ask(path, self._read, path)
        except self._hvac.exceptions.InvalidPath as error:
            if "no handler for route" in _error_text(error):
                raise self._no_engine() from None
            return StoredSecret(data={}, version=_deleted(error.json))
        except self._hvac.exceptions.InvalidRequest as error:
            raise DevtoolsError(f"cannot read {path} from Vault: {_error_text(error)}") from None
        try:
            found = answer["data"]
            return StoredSecret(data={**(found["data"] or {})}, version=int(found["metadata"]["version"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise self._stranger() from None

    def write(self, path: str, data: Mapping[str, Any], version: int) -> None:
        """Put a new version after `version`; raises LostRace where that is not the newest, and as `read` does."""
        try:
            self._ask(path, self._write, path, data, version)
        except self._hvac.exceptions.InvalidRequest as error:
            if "check-and-set" in str(error):
                raise LostRace(f"{path} was changed by another writer") from None
            raise DevtoolsError(f"cannot write {path} to Vault: {_error_text(error)}") from None
        except self._hvac.exceptions.InvalidPath:
            raise self._no_engine() from None

    def _read(self, path: str) -> Any:
        kv = self._client.secrets.kv.v2
        return kv.read_secret_version(path=path, mount_point=self._mount, raise_on_deleted_version=True)

    def _write(self, path: str, data: Mapping[str, Any], version: int) -> Any:
        kv = self._client.secrets.kv.v2
        return kv.create_or_update_secret(path=path, secret=dict(data), cas=version, mount_point=self._mount)

    def _ask(self, path: str, call: Callable[..., Any], *args: Any) -> Any:
        """One request; what Vault may answer to any of them, in words."""
        errors = self._hvac.exceptions
        try:
            return call(*args)
        except (errors.Forbidden, errors.Unauthorized):
            raise DevtoolsError(
                f"Vault refuses {self._mount}/{path} to this token",
                hint=f"it needs create, read and update on {self._mount}/data/*",
            ) from None
        except errors.VaultDown as error:
            sealed = "sealed" in _error_text(error).lower()
            raise EnvironmentFault(
                "Vault is sealed" if sealed else f"Vault is not ready: {_error_text(error)}",
                hint="vault operator unseal" if sealed else "wait until it is, then run the same command again",
            ) from None
        except (errors.InternalServerError, errors.BadGateway, errors.RateLimitExceeded) as error:
            raise EnvironmentFault(
                f"Vault cannot answer now: {_error_text(error)}", hint="run the same command again"
            ) from None
        except (errors.InvalidPath, errors.InvalidRequest):
            raise  # for who asks to judge
        except errors.VaultError as error:
            raise EnvironmentFault(f"Vault cannot answer: {_error_text(error)}") from None
        except OSError as error:  # what hvac raises where no answer comes
            raise EnvironmentFault(
                f"no Vault answers at {self._url}: {type(error).__name__}",
                hint=_WHERE,
            ) from None
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
        ):  # hvac takes any answer for Vault's
            raise self._stranger() from None

    def _no_engine(self) -> EnvironmentFault:
        return EnvironmentFault(
            f"Vault has no secrets engine at {self._mount}/", hint=f"vault secrets enable -path={self._mount} kv-v2"
        )

    def _stranger(self) -> EnvironmentFault:
        return EnvironmentFault(f"{self._url} is not a Vault server", hint=_WHERE)


def _deleted(answer: Any) -> int:
    """The version of a secret that was deleted, 0 where there never was one: both are answered with 404."""
    try:
        return int(answer["data"]["metadata"]["version"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0


def _error_text(error: Any) -> str:
    """Vault's own words; they name paths, never values."""
    lines = error.errors if isinstance(error.errors, list | tuple) else [error.errors] if error.errors else []
    return "; ".join(map(str, lines)) or type(error).__name__
