"""Reading kubeconfig files: what is there, and what is missing."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.errors import EnvironmentFault
from devtools.kube.connections import Connections
from devtools.kube.kubeconfig import Credentials, read_credentials, ssl_context

B64 = base64.b64encode(b"PEM").decode()
CONFIG = f"""
clusters:
- {{name: c, cluster: {{server: "https://127.0.0.1:6443", certificate-authority-data: {B64}}}}}
users:
- {{name: cert, user: {{client-certificate: c.pem, client-key-data: {B64}}}}}
- {{name: token, user: {{token: abc}}}}
- {{name: plugin, user: {{exec: {{command: aws}}}}}}
contexts:
- {{name: cert, context: {{cluster: c, user: cert}}}}
- {{name: token, context: {{cluster: c, user: token}}}}
- {{name: plugin, context: {{cluster: c, user: plugin}}}}
- {{name: torn, context: {{cluster: c, user: nobody}}}}
current-context: token
"""

CERTIFICATE = b"""\
-----BEGIN CERTIFICATE-----
MIIBLDCB36ADAgECAhQQiM53he5nrHqq+3+LAYMCudn1NjAFBgMrZXAwDDEKMAgG
A1UEAwwBeDAeFw0yNjExMjEyMDM2MTZaFw0zNjExMTgyMDM2MTZaMAwxCjAIBgNV
BAMMAXgwKjAFBgMrZXADIQBaBwozs+ERRNHSRRPYGfu/yOUbBDiciLEtqrBhxpS7
SKNTMFEwHQYDVR0OBBYEFMweR72m1dymXJSKcVupPNa/M20cMB8GA1UdIwQYMBaA
FMweR72m1dymXJSKcVupPNa/M20cMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA
ieYLicujMc2SQPjxp2Gm7l+XlmSnOaNpBsMYSWvGqz198aL2A2cor6fKLRA/sbe0
4Yir8dV/KrH/z2/ABzQ/Bw==
-----END CERTIFICATE-----
"""
LOCKED = b"""\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGKME4GCSqGSIb3DQEFDTBBMCkGCSqGSIb3DQEFDDAcBAjWhe/pzs5NJQICCAAw
DAYIKoZIhvcNAgkFADAUBggqhkiG9w0DBwQIaOtx4WnSMUQEOBd0scUQaeOmCvkt
G6WoFkHJ8S/OLMNRUL5+6AMvCNpXEu9c3nx2pkjJEBza5jfTLsoReZ7woXAh
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    (tmp_path / "c.pem").write_text("CERT")
    path = tmp_path / "kubeconfig"
    path.write_text(CONFIG)
    return path


def test_certificates_come_from_files_beside_it_or_inline(kubeconfig: Path) -> None:
    found = read_credentials(kubeconfig, "cert")
    assert (found.server, found.ca, found.certificate, found.key) == ("https://127.0.0.1:6443", b"PEM", b"CERT", b"PEM")
    assert not found.needs_sdk


def test_tokens_and_plugins(kubeconfig: Path) -> None:
    assert read_credentials(kubeconfig, "token").token == "abc"
    assert read_credentials(kubeconfig, "plugin").needs_sdk


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("other", r"has no context 'other' \(it has: cert, token, plugin, torn\)"),
        ("torn", r"has no user 'nobody'"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(kubeconfig: Path, context: str, message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        read_credentials(kubeconfig, context)


def test_no_file_not_yaml_and_not_base64(tmp_path: Path, kubeconfig: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot read kubeconfig"):
        read_credentials(tmp_path / "none", "x")
    kubeconfig.write_text("a: [")
    with pytest.raises(EnvironmentFault, match="is not YAML"):
        read_credentials(kubeconfig, "x")
    kubeconfig.write_text(CONFIG.replace(B64, "'??'"))
    with pytest.raises(EnvironmentFault, match="is not base64"):
        read_credentials(kubeconfig, "token")


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("abc", "a\\u00e9", "token contains characters that an HTTP header cannot hold"),
        ("{token: abc}", "{tokenFile: kubeconfig}", "token contains characters that an HTTP header cannot hold"),
        ("{token: abc}", '{tokenFile: "a\\0"}', "cannot read .*null byte"),
        ("{token: abc}", "{client-key-data: true}", "client-key-data is not base64"),
        ("{token: abc}", "{client-key: 7}", "cannot read .*/7"),
        ("current-context: token", "users: 5", "has no user 'token'"),
        ("current-context: token", "a: !!bool x", "is not YAML"),
        ("current-context: token", "a: " + "[" * 100_000, "is not YAML"),
    ],
)
def test_what_no_kubeconfig_can_hold_is_refused(kubeconfig: Path, was: str, now: str, message: str) -> None:
    now = f'"{now}"' if was == "abc" else now
    kubeconfig.write_text(CONFIG.replace(was, now))
    with pytest.raises(EnvironmentFault, match=message):
        read_credentials(kubeconfig, "token")


def test_a_bundle_may_name_its_certificates_in_any_script() -> None:
    ca = "# Főtanúsítvány\n".encode() + CERTIFICATE
    context = ssl_context(Credentials(server="https://127.0.0.1:1", ca=ca))
    assert context is not None
    assert context.cert_store_stats()["x509"] == 1


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for() -> None:
    with pytest.raises(EnvironmentFault, match="certificates cannot be used"):
        ssl_context(Credentials(server="https://127.0.0.1:1", certificate=CERTIFICATE, key=LOCKED))


PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


def test_a_missing_plugin_comes_with_the_kubeconfigs_advice(tmp_path: Path) -> None:
    plugin = {**PLUGIN, "command": "no-such-plugin", "installHint": "Get it at\n  https://plugin.example.com\x1b[2J"}
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    with pytest.raises(EnvironmentFault, match="its credential plugin no-such-plugin is not installed") as caught:
        Connections(tmp_path / "kubeconfig", "x").authorization()
    assert caught.value.hint == "Get it at https://plugin.example.com [2J"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": {**PLUGIN, "command": "false"}}, "exec: process returned 1"),
        ({"exec": {**PLUGIN, "command": "true"}}, "exec: failed to decode process output"),
        ({"exec": {**PLUGIN, "command": "./nowhere/plugin"}}, "plugin ./nowhere/plugin is not installed"),
        ({"exec": {**PLUGIN, "command": "echo", "args": ["{}"]}}, "exec: malformed response. missing key"),
        ({"exec": 5}, "is not iterable"),
        ({"auth-provider": 5}, "is not iterable"),
        ({"exec": None}, "Expected key exec"),
        ({"exec": {**PLUGIN, "command": "true", "args": ["EQUALS"]}}, "could not determine a constructor"),
    ],
    ids=[
        "fails",
        "says nothing",
        "is missing",
        "says something else",
        "a number",
        "of old",
        "none",
        "not for its parser",
    ],
)
def test_a_plugin_that_gives_no_credentials(
    user: dict[str, Any], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {**user, "password": "s3cret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document).replace("EQUALS", "="))
    connections = Connections(tmp_path / "kubeconfig", "x")
    for ask in (connections.authorization, lambda: connections.pool):
        with pytest.raises(EnvironmentFault, match=message) as caught:
            ask()
        assert caught.value.message.startswith("cannot use context x: ")
        assert "s3cret" not in caught.value.message
    assert capfd.readouterr() == ("", "")
