"""Encrypted values with real keys of age and PGP: who has the key sees them where asked, and nothing else does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devtools.app.environment import App
from tests.kits.marks import Marks
from tests.kits.repository import Repo, Typed
from tests.kits.sops import Keys, age_keys, pgp_keys

pytestmark = pytest.mark.cluster
FILE = "environments/local/10-base/conf.secrets.yaml"
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  say: {{ .Values.say | quote }}
  plain-name: {{ .Values.greeting | quote }}
  number: {{ .Values.number | quote }}
  all: {{ toYaml .Values | quote }}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-auth}
stringData: {word: {{ .Values.greeting | quote }}}
"""
LOGGER = """\
#!/bin/sh
printf '%s\\0' "$0" "$@" >> "$SEEN/argv"
env >> "$SEEN/environ"
exec REAL "$@"
"""


@pytest.fixture
def marks() -> Marks:
    return Marks()


@pytest.fixture(params=["age", "pgp"])
def keys(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, app: App) -> Keys:
    app.toolchain.ensure(["sops"])
    make = age_keys if request.param == "age" else pgp_keys
    return make(tmp_path_factory.mktemp("k"), app.toolchain.path("sops"))


@pytest.fixture
def secret(repo: Repo, marks: Marks, keys: Keys) -> Repo:
    """Encrypted values under keys that do not sound secret, in the environment and in `_shared`."""
    repo.apart()
    repo.env["DEVTOOLS_CACHE"] = str(repo.app.folders.cache)  # in another home, sops would be built again
    repo.chart("conf", CONFIG_MAP)
    shared = f"greeting: weaker\nlist: [{marks['cookie']}]\n"
    keys.encrypt(repo.path / "environments/_shared/10-base/conf.secrets.yaml", shared)
    keys.encrypt(repo.path / FILE, f"greeting: {marks['password']}\nnumber: 4711471147\n")
    repo.write("environments/local/10-base/conf.yaml", "greeting: overlay\n")
    return repo


def _both(repo: Repo, keys: Keys, *words: str) -> list[Typed]:
    return [repo.invoke(*words, "--output", output, env=keys.has) for output in ("text", "json")]


def _watched(repo: Repo, keys: Keys, directory: Path) -> dict[str, str]:
    """An environment in which sops and helm note their argv and environment."""
    bin_directory = directory / "bin"
    bin_directory.mkdir(parents=True)
    for name, real in (("sops", str(keys.sops)), ("helm", str(repo.app.toolchain.path("helm")))):
        path = bin_directory / name
        path.write_text(LOGGER.replace("REAL", real))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}", "SEEN": str(directory)}


def test_a_canary_is_nowhere(secret: Repo, marks: Marks, keys: Keys, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    cache = tmp_path / "cache"
    env = {**keys.has, **_watched(secret, keys, noted)}
    real_cache = secret.app.folders.cache
    cache.mkdir()
    (cache / "toolchain").symlink_to(real_cache / "toolchain")
    secret.env |= {"DEVTOOLS_CACHE": str(cache)}
    outputs = ("text", "json", "jsonl")
    printed = [secret.invoke("layer", "10", "--verbose", "--output", outputs[0], env=env)]
    assert printed[0].code == 0, printed[0].text
    printed += [secret.invoke("layer", "10", "--force", "--output", output, env=env) for output in outputs[1:]]
    printed += [secret.invoke("plan", "10", "--output", output, env=env) for output in outputs]
    printed += _both(secret, keys, "values", "conf") + _both(secret, keys, "values", "conf", "--explain")
    printed += _both(secret, keys, "secrets") + _both(secret, keys, "drift", "10")
    assert [one.code for one in printed] == [0] * len(printed), [one.text for one in printed if one.code]
    keys.encrypt(secret.path / FILE, f"greeting: {marks['pass']}\nnumber: 1147114711\n")
    for output in ("text", "json", "markdown"):
        diff = secret.invoke("plan", "10", "--diff", "--output", output, env=env)
        assert diff.code == 0, diff.text
        assert "plain-name" in diff.out, "the field that changes is named"
        printed.append(diff)
    printed.append(secret.invoke("render", "10", "--to", str(tmp_path / "rendered"), env=env))
    assert (tmp_path / "rendered").is_dir()
    assert marks.found_below(tmp_path / "rendered") == {}
    keys.encrypt(secret.path / FILE, f"greeting: {marks['password']}\nnumber: 4711471147\n")
    shown = secret.invoke("values", "conf", "--show-secrets", env=keys.has).text
    assert marks["password"] in shown
    assert marks.found_in(*(one.text for one in printed)) == []
    for number in ("4711471147", "4.711471147e+09", "1147114711", "1.147114711e+09"):
        assert number not in "".join(one.text for one in printed)
    assert b"--decrypt" in (noted / "argv").read_bytes()
    assert b"upgrade" in (noted / "argv").read_bytes()
    assert marks.found_below(noted, cache / "parsed", secret.path, tmp_path / "state") == {}


def test_without_a_key_nothing_is_done(secret: Repo, keys: Keys) -> None:
    for words in (("layer", "10"), ("plan", "10", "--diff"), ("values", "conf", "--show-secrets")):
        typed = secret.invoke(*words, env=keys.lacks)
        assert typed.code == 2, typed.text
        assert FILE in typed.text
        assert keys.recipient[1] in typed.text
    assert secret.invoke("contracts", "10", env=keys.lacks).code == 1, "nothing was installed"


def test_what_needs_no_values_needs_no_key(secret: Repo, keys: Keys, tmp_path: Path) -> None:
    assert secret.invoke("layer", "10", env=keys.has).code == 0
    watch = _watched(secret, keys, tmp_path / "noted")
    for words in (("layer", "10"), ("plan",), ("layers",), ("specs",), ("values", "conf"), ("contracts", "10")):
        typed = secret.invoke(*words, env={**keys.lacks, **watch})
        assert typed.code == 0, typed.text
    assert b"--decrypt" not in (tmp_path / "noted/argv").read_bytes()


def test_secrets_lists_who_can_read_what(secret: Repo, keys: Keys) -> None:
    mine, others = (secret.invoke("secrets", "--output", "json", env=env).document for env in (keys.has, keys.lacks))
    assert [row["state"] for row in mine["files"]] == ["readable", "readable"]
    assert [row["state"] for row in others["files"]] == ["no key", "no key"]
    assert all(row["recipients"][0].endswith(keys.recipient[1]) for row in mine["files"])
    assert [row["environment"] for row in mine["files"]] == ["_shared", "local"]
    assert "2 files, 0 readable" in secret.invoke("secrets", env=keys.lacks).text
