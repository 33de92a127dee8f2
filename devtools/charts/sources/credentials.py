"""Reads credentials for chart sources from environment variables, else from a netrc file."""

from __future__ import annotations

import netrc
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from devtools.errors import ConfigError
from devtools.helm.chart_commands import is_loopback

USER = "DEVTOOLS_CHART_USER_"
PASSWORD = "DEVTOOLS_CHART_PASSWORD_"  # noqa: S105 - the beginning of a variable's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user's name and password, or token."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Access to a source: credentials, and the certificates of the authorities to trust."""

    login: Login | None = None
    ca: Path | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that must not occur in any output."""
        return (self.login.password or self.login.username,) if self.login else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Finds the access data for a URL; credentials are sent only to the host they are for."""

    environ: Mapping[str, str] = field(repr=False)
    authorities: Mapping[str, Path] = field(default_factory=dict)  # files by host
    learn: Callable[[str], None] = field(default=lambda _: None)  # called with each secret, which no output may show

    def access(self, url: str, publisher: str = "") -> Access:
        """Return the access data for a URL that has no credentials in it; `publisher` if the lock has the URL for one.

        Raises ConfigError if it is not a URL, or if credentials are incomplete or would be sent without encryption.
        """
        try:
            host = urlsplit(url).netloc.lower()
        except ValueError as error:
            raise ConfigError(f"{url!r} is not a URL: {error}") from None
        ca = self.authorities.get(host) or self.authorities.get(host.partition(":")[0])
        login = self._of_variables(url, host, publisher) or self._of_netrc(url, host)
        if login:
            self.learn(login.password)
        return Access(login=login, ca=ca)

    def _of_variables(self, url: str, host: str, publisher: str) -> Login | None:
        for name in dict.fromkeys((host, host.partition(":")[0], publisher)):
            suffix = re.sub(r"[^A-Z0-9]", "_", name.upper())
            user, password = self.environ.get(USER + suffix, ""), self.environ.get(PASSWORD + suffix, "")
            if not suffix or not (user or password):
                continue
            if not (user and password):
                lacking = (PASSWORD if user else USER) + suffix
                raise ConfigError(f"{lacking} is not set, though its counterpart is", hint="set both, or neither")
            if not _is_private(url):
                message = f"{PASSWORD}{suffix} would be sent to {host} without encryption"
                raise ConfigError(message, hint="use an https:// or oci:// URL")
            return Login(username=user, password=password)
        return None

    def _of_netrc(self, url: str, host: str) -> Login | None:
        """Return the netrc file's entry for the host; its `default` entry, which matches any host, is ignored."""
        file = Path(self.environ.get("NETRC") or Path(self.environ.get("HOME") or "/nonexistent", ".netrc"))
        if not file.is_file() or not _is_private(url):
            return None
        try:
            found = netrc.netrc(file)
        except netrc.NetrcParseError as error:  # the exception's message may contain a password
            raise ConfigError(f"{file}:{error.lineno} cannot be read as a netrc file", hint="man 5 netrc") from None
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{file} cannot be read: {why}") from None
        entry = found.hosts.get(host) or found.hosts.get(host.partition(":")[0])
        if entry is None:
            return None
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{file} holds passwords, and others may read it", hint=f"chmod 600 {file}")
        return Login(username=entry[0], password=entry[2])


def _is_private(url: str) -> bool:
    """Return whether data sent to a URL is encrypted, or stays on this machine."""
    return not url.startswith("http://") or is_loopback(url)
