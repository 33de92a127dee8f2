"""Reads one context of a kubeconfig file: server, trust, credentials.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. Certificates, tokens and basic authentication
are read here, which costs a few milliseconds; the SDK handles exec plugins and auth providers
(`Credentials.needs_sdk`).
"""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.base.atomic_write import private_directory
from devtools.base.machine_yaml import read_yaml
from devtools.base.open_file import read_file
from devtools.errors import EnvironmentFault

_HEADER = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How to reach one API server and authenticate to it."""

    server: str
    ca: bytes = b""  # PEM
    insecure: bool = False
    certificate: bytes = b""  # PEM
    key: bytes = b""  # PEM
    token: str = ""
    username: str = ""
    password: str = ""
    server_name: str = ""
    proxy: str = ""
    needs_sdk: bool = False

    @property
    def authorization(self) -> str:
        """The `Authorization` header; empty if a certificate authenticates the user."""
        if self.token:
            return f"Bearer {self.token}"
        if self.username:
            return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return ""


def read_credentials(kubeconfig: Path, context: str) -> Credentials:
    """Return the context's credentials; raise EnvironmentFault if file, context, cluster or user is missing."""
    try:
        document = read_yaml(read_file(kubeconfig)) or {}
    except OSError as error:
        message = f"cannot read kubeconfig {kubeconfig}: {error.strerror}"
        raise EnvironmentFault(message, hint="invoke cluster.create") from error
    except ValueError as error:
        raise EnvironmentFault(f"kubeconfig {kubeconfig} is not YAML", hint="invoke cluster.create") from error
    if not isinstance(document, dict):
        raise EnvironmentFault(f"{kubeconfig} is not a kubeconfig", hint="invoke cluster.create")
    chosen = _named(document, "context", context, kubeconfig)
    cluster = _named(document, "cluster", chosen.get("cluster", ""), kubeconfig)
    user = _named(document, "user", chosen.get("user", ""), kubeconfig)
    _check_plugin(user, kubeconfig, context)
    base, server = kubeconfig.parent, str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        raise EnvironmentFault(f"kubeconfig {kubeconfig}: the server of context {context} is not a URL: {server!r}")
    return Credentials(
        server=server,
        ca=_bytes(cluster, "certificate-authority", base),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        certificate=_bytes(user, "client-certificate", base),
        key=_bytes(user, "client-key", base),
        token=_token(user, base),
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=str(cluster.get("proxy-url") or ""),
        needs_sdk="exec" in user or "auth-provider" in user,
    )


def _check_plugin(user: dict[str, Any], kubeconfig: Path, context: str) -> None:
    """Raise EnvironmentFault, with the kubeconfig's own advice, if the user's credential plugin is not installed."""
    plugin = user.get("exec")
    command = plugin.get("command") if isinstance(plugin, dict) else None
    if not isinstance(plugin, dict) or not isinstance(command, str) or not command:
        return
    if shutil.which(str(kubeconfig.parent / command) if "/" in command else command) is None:
        advice = " ".join("".join(c if c.isprintable() else " " for c in str(plugin.get("installHint") or "")).split())
        message = f"cannot use context {context}: its credential plugin {command} is not installed"
        raise EnvironmentFault(message, hint=advice or "install it: kubectl needs it, too")


def ssl_context(credentials: Credentials) -> ssl.SSLContext | None:
    """Return a TLS context, None for a plain-text server; EnvironmentFault for a certificate that cannot be used."""
    if not credentials.server.startswith("https"):
        return None
    try:
        return _context(credentials)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"the kubeconfig's certificates cannot be used: {error}") from error


def _context(credentials: Credentials) -> ssl.SSLContext:
    # Bundles name their certificates in comments, in any script; ssl accepts only ASCII.
    trusted = credentials.ca.decode("ascii", "ignore") if credentials.ca else None
    context = ssl.create_default_context(cadata=trusted)
    if credentials.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credentials.certificate and credentials.key:
        with private_directory("tls") as private:  # mode 0700; ssl reads files only
            pair = private / "pair.pem"
            pair.write_bytes(credentials.certificate + b"\n" + credentials.key)
            context.load_cert_chain(pair, password="")  # otherwise OpenSSL asks for a key's passphrase on the terminal
    return context


def _named(document: dict[str, Any], kind: str, name: str, path: Path) -> dict[str, Any]:
    """Return the entry `name` of the list `kind`s."""
    listed = document.get(f"{kind}s")
    entries = [entry for entry in (listed if isinstance(listed, list) else ()) if isinstance(entry, dict)]
    for entry in entries:
        if entry.get("name") == name and isinstance(entry.get(kind) or {}, dict):
            return dict(entry.get(kind) or {})
    known = ", ".join(str(entry.get("name")) for entry in entries) or "none"
    raise EnvironmentFault(f"kubeconfig {path} has no {kind} {name!r} (it has: {known})", hint="invoke cluster.create")


def _bytes(entry: dict[str, Any], key: str, base: Path) -> bytes:
    """Return inline data or a file's content."""
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise EnvironmentFault(f"kubeconfig's {key}-data is not base64") from error
    return _file(base / str(entry[key])) if entry.get(key) else b""


def _token(user: dict[str, Any], base: Path) -> str:
    """Return a bearer token, inline or from a file."""
    if user.get("tokenFile"):
        token = _file(base / str(user["tokenFile"])).decode("utf-8", "replace").strip()
    else:
        token = str(user.get("token") or "")
    if not _HEADER.fullmatch(token):
        # it is not shown
        raise EnvironmentFault("the kubeconfig's token contains characters that an HTTP header cannot hold")
    return token


def _file(path: Path) -> bytes:
    try:
        return read_file(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        reason = getattr(error, "strerror", None) or error
        raise EnvironmentFault(f"cannot read {path}, named by the kubeconfig: {reason}") from error
