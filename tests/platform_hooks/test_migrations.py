"""The Secret of the migrations: where its values come from, and that it is written once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from platform_hooks.cluster import is_simulated, secret, write_secret
from platform_hooks.main import seed_vault, write_migrations_secret
from platform_hooks.migrations import URL, flyway

from devtools.clusters.provider import Cluster
from devtools.errors import DevtoolsError
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.api_script import Say, Script, served

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"FLYWAY_URL": "jdbc:a", "FLYWAY_USER": "me", "FLYWAY_PASSWORD": "mine"}


@pytest.mark.parametrize(
    ("environ", "bundled", "values"),
    [
        (ENVIRONMENT, None, ("jdbc:a", "me", "mine")),
        ({}, {"DB_USERNAME": "u", "DB_PASSWORD": "p"}, (URL, "u", "p")),
        ({}, {"FLYWAY_USER": "f", "DB_USERNAME": "u", "DB_PASSWORD": "p", "FLYWAY_URL": "b"}, ("b", "f", "p")),
        ({"FLYWAY_USER": "me"}, {"DB_USERNAME": "u", "DB_PASSWORD": "p"}, (URL, "me", "p")),
        ({"FLYWAY_USER": ""}, {"DB_USERNAME": "u", "DB_PASSWORD": "p"}, (URL, "u", "p")),
    ],
)
def test_sources(environ: dict[str, str], bundled: dict[str, str] | None, values: tuple[str, ...]) -> None:
    found = flyway(environ, bundled)
    assert tuple(found.values[f"FLYWAY_{name}"] for name in ("URL", "USER", "PASSWORD")) == values
    assert set(found.sources) == set(found.values)


@pytest.mark.parametrize(
    ("bundled", "words"),
    [
        (None, "FLYWAY_USER and FLYWAY_PASSWORD: Secret ameide/db-migrations-bundled is not there"),
        ({"DB_USERNAME": "u"}, "no value for FLYWAY_PASSWORD: Secret ameide/db-migrations-bundled lacks them"),
    ],
)
def test_what_is_missing_is_named(bundled: dict[str, str] | None, words: str) -> None:
    with pytest.raises(DevtoolsError, match=words):
        flyway({}, bundled)


def test_a_value_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    """Some other program's keystore beside the passwords must not keep anyone from them."""
    data = {"DB_USERNAME": "dQ==", "keystore.p12": "/+0="}
    script = Script().on("GET /api/v1/namespaces/n/secrets/a", Say(body={"data": data}))
    with served(script, tmp_path) as kube:
        assert secret(kube, "n", "a") == {"DB_USERNAME": "u"}


@pytest.mark.cluster
def test_written_once(cluster: Cluster) -> None:
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    if kube.get("/api/v1/namespaces/ameide") is None:
        kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ameide"}})
    write_secret(kube, "ameide", "db-migrations-bundled", {"DB_USERNAME": "graph", "DB_PASSWORD": "pä ss"})
    target = ["--kubeconfig", str(cluster.kubeconfig), "--context", cluster.context]
    printed: list[str] = []
    assert write_migrations_secret(target, {}, printed.append) == 0
    assert secret(kube, "ameide", "db-migrations-local") == {
        "FLYWAY_URL": URL,
        "FLYWAY_USER": "graph",
        "FLYWAY_PASSWORD": "pä ss",
    }
    assert "pä ss" not in "\n".join(printed)
    again: list[str] = []
    assert write_migrations_secret(target, {}, again.append) == 0
    assert again == ["Secret ameide/db-migrations-local is unchanged"]
    script = ROOT / "scripts" / "infra" / "bootstrap-db-migrations-secret.sh"
    env = {"PATH": "/usr/bin:/bin", "FLYWAY_USER": "else"}
    done = subprocess.run([script, *target], env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    changed = secret(kube, "ameide", "db-migrations-local")
    assert changed
    assert changed["FLYWAY_USER"] == "else"


@pytest.mark.cluster
def test_a_simulated_vault_is_skipped(cluster: Cluster, namespace: str) -> None:
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    if kube.get("/api/v1/namespaces/vault") is None:
        kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault"}})
    nodes = [node["metadata"]["name"] for node in kube.items("/api/v1/nodes")]
    fake = next(name for name in nodes if name != cluster.real_node)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "vault-0"},
        "spec": {"nodeName": fake, "containers": [{"name": "vault", "image": namespace}]},
    }
    if kube.get("/api/v1/namespaces/vault/pods/vault-0") is None:
        kube.create("/api/v1/namespaces/vault/pods", pod)
    assert is_simulated(kube, "vault", "vault-0")
    printed: list[str] = []
    target = ["--kubeconfig", str(cluster.kubeconfig), "--context", cluster.context]
    assert seed_vault(target, {}, ROOT, printed.append) == 0
    assert printed == ["skipped: Vault is a simulated pod, nothing listens in it"]


@pytest.mark.cluster
def test_no_such_pod_is_an_error(cluster: Cluster) -> None:
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    with pytest.raises(DevtoolsError, match="there is no pod default/vault-9"):
        is_simulated(kube, "default", "vault-9")
