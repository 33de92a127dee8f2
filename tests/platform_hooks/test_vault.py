"""Seeding Vault: by hvac, against a double of the documented API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_hooks.main import seed_vault
from platform_hooks.vault import Address, Seeded, VaultStore, ensure
from platform_hooks.wanted import Wanted, random_value, read_seeds, wanted

from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode
from tests.kits.vault import TOKEN, Engine, served

ROOT = Path(__file__).resolve().parents[2]
SECRETS = (
    Wanted(path="platform/db", properties=("password",)),
    Wanted(path="platform/two", properties=("a", "b-hex")),
)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def address(engine: Engine) -> Iterator[str]:
    with served(engine) as url:
        yield url


def seed(address: str, printed: list[str], token: str = TOKEN, mount: str = "secret") -> Seeded:
    return ensure(VaultStore(Address(url=address), token, mount), SECRETS, printed.append)


def test_creates_what_is_missing(engine: Engine, address: str) -> None:
    printed: list[str] = []
    assert str(seed(address, printed)) == "2 created, 0 completed, 0 unchanged"
    assert printed == ["platform/db: created (password)", "platform/two: created (a, b-hex)"]
    two = engine.secrets["platform/two"][0]
    assert two
    assert len(two["a"]) == 32
    assert len(bytes.fromhex(two["b-hex"])) == 32


def test_a_second_time_changes_nothing(engine: Engine, address: str) -> None:
    seed(address, [])
    before = dict(engine.secrets)
    printed: list[str] = []
    assert seed(address, printed) == Seeded(unchanged=2)
    assert (engine.secrets, engine.writes, printed) == (before, ["platform/db", "platform/two"], [])


def test_keeps_what_is_there(engine: Engine, address: str) -> None:
    engine.put("platform/two", {"a": "mine", "other": "kept", "b-hex": ""})
    printed: list[str] = []
    assert seed(address, printed) == Seeded(created=1, completed=1)
    two = engine.secrets["platform/two"][-1]
    assert two
    assert (two["a"], two["other"], len(two["b-hex"])) == ("mine", "kept", 64)
    assert "platform/two: completed (b-hex)" in printed


def test_a_deleted_secret_is_made_anew(engine: Engine, address: str) -> None:
    engine.put("platform/db", {"password": "old"})
    engine.put("platform/db", None)
    assert seed(address, []) == Seeded(created=2)
    assert len(engine.secrets["platform/db"]) == 3


def test_a_lost_race_keeps_the_winners_value(engine: Engine, address: str) -> None:
    engine.put("platform/db", {"note": "there"})

    def rival(engine: Engine, path: str) -> None:
        engine.rival = None
        engine.put(path, {"note": "there", "password": "theirs"})

    engine.rival = rival
    assert seed(address, []) == Seeded(created=1, unchanged=1)
    assert engine.secrets["platform/db"][-1] == {"note": "there", "password": "theirs"}


def test_gives_up_when_every_race_is_lost(engine: Engine, address: str) -> None:
    engine.put("platform/db", {"n": 0})
    engine.rival = lambda engine, path: engine.put(path, {"n": len(engine.secrets[path])})
    with pytest.raises(DevtoolsError, match="another process changed it during each of 5 attempts"):
        seed(address, [])


@pytest.mark.parametrize(
    ("engine", "token", "mount", "words", "code"),
    [
        (Engine(), "s.wrong", "secret", "Vault refuses secret/platform/db", ExitCode.FAILED),
        (Engine(denied=frozenset({"platform/two"})), TOKEN, "secret", "refuses secret/platform/two", ExitCode.FAILED),
        (Engine(sealed=True), TOKEN, "secret", "Vault is sealed", ExitCode.ENVIRONMENT),
        (Engine(broken=True), TOKEN, "secret", "Vault cannot answer now", ExitCode.ENVIRONMENT),
        (Engine(), TOKEN, "kv", "Vault has no secrets engine at kv/", ExitCode.ENVIRONMENT),
    ],
    ids=["wrong token", "denied path", "sealed", "broken", "no engine"],
)
def test_refusals(address: str, token: str, mount: str, words: str, code: ExitCode) -> None:
    with pytest.raises(DevtoolsError, match=words) as raised:
        seed(address, [], token, mount)
    assert raised.value.exit_code is code
    assert raised.value.hint


def test_without_an_answer() -> None:
    with pytest.raises(EnvironmentFault, match=r"no Vault answers at http://127\.0\.0\.1:1"):
        seed("http://127.0.0.1:1", [])


def test_no_value_is_ever_printed(engine: Engine, address: str) -> None:
    printed: list[str] = []
    environ = {"VAULT_TOKEN": TOKEN, "VAULT_ADDR": address}
    assert seed_vault([], environ, ROOT, printed.append) == 0
    assert printed
    values = {str(value) for versions in engine.secrets.values() for value in (versions[-1] or {}).values()}
    assert len(values) >= 20
    assert not [value for value in {*values, TOKEN} if value in "\n".join(printed)]


def test_every_secret_that_the_platform_reads_is_seeded(engine: Engine, address: str) -> None:
    assert seed_vault(["--address", address], {"VAULT_TOKEN": TOKEN}, ROOT, lambda _: None) == 0
    for secret in read_seeds(ROOT / "environments", "local").secrets:
        assert set(secret.properties) == set(engine.secrets[secret.path][-1] or {})


def test_the_script_works_alone(engine: Engine, address: str) -> None:
    script = ROOT / "scripts" / "vault" / "ensure-local-secrets.py"
    env = {"PATH": "/usr/bin:/bin", "VAULT_ADDR": address, "VAULT_TOKEN": TOKEN}
    first, second = (
        subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=300, check=False)
        for _ in range(2)
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert second.stdout.startswith("Vault: 0 created, 0 completed, ")
    assert engine.writes


def test_errors_end_with_a_hint_and_a_code(engine: Engine, address: str) -> None:
    engine.sealed = True
    printed: list[str] = []
    assert seed_vault(["--address", address], {"VAULT_TOKEN": TOKEN}, ROOT, printed.append) == ExitCode.ENVIRONMENT
    assert printed == ["error: Vault is sealed", "  hint: vault operator unseal"]


def test_other_environments_are_left_to_their_owners() -> None:
    printed: list[str] = []
    assert seed_vault(["--environment", "staging"], {}, ROOT, printed.append) == 0
    assert printed == ["skipped: the Vault of environment staging is filled by its owners"]


def test_a_cluster_must_be_named() -> None:
    printed: list[str] = []
    assert seed_vault([], {}, ROOT, printed.append) == ExitCode.CONFIG
    assert printed[0] == "error: --kubeconfig is missing"


def test_paths_are_joined_over_all_secrets() -> None:
    declared = [{"path": "b", "keys": {"X": "x"}}, {"path": "a", "keys": {"Y": "y"}}, {"path": "b", "keys": {"Z": "z"}}]
    assert wanted(declared) == (
        Wanted(path="a", properties=("y",)),
        Wanted(path="b", properties=("x", "z")),
    )


def test_values_differ() -> None:
    assert len({random_value("password") for _ in range(50)}) == 50
