"""The connections to one API server, as one user."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from devtools.kube.kubeconfig import Credentials, read_credentials, ssl_context

if TYPE_CHECKING:
    import urllib3


class Connections:
    """A pool of connections that several clients may share, from many threads."""

    def __init__(self, kubeconfig: Path, context: str) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._lock = Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._credentials.server

    def authorization(self) -> dict[str, str]:
        """Return the header that authenticates this user, if a header does."""
        if self._credentials.needs_sdk:
            from devtools.kube.sdk import refused

            with self._lock, refused(self._context):  # a plugin that prompts the user must do so once
                settings = self._sdk.configuration.auth_settings().get("BearerToken") or {}
            return {"Authorization": str(settings["value"])} if settings.get("value") else {}
        header = self._credentials.authorization
        return {"Authorization": header} if header else {}

    @cached_property
    def _credentials(self) -> Credentials:
        return read_credentials(self._kubeconfig, self._context)

    def cut(self) -> None:
        """Close every connection and end the requests that wait on it; later requests make new connections."""
        with self._lock:
            sockets = [*self._sockets]
        for link in sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(link, socket.SHUT_RDWR)  # no TLS shutdown is needed any more

    @cached_property
    def pool(self) -> urllib3.PoolManager:
        """The connections; raises EnvironmentFault if the kubeconfig cannot be used."""
        import urllib3

        credentials = self._credentials
        if credentials.insecure:  # the kubeconfig asks for it: urllib3 would warn at each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        found: urllib3.PoolManager
        if credentials.needs_sdk:
            found = self._sdk.rest_client.pool_manager
        else:
            extra = {"server_hostname": credentials.server_name} if credentials.server_name else {}
            options: dict[str, Any] = {"maxsize": 16, "block": False, "ssl_context": ssl_context(credentials), **extra}
            proxy = credentials.proxy
            found = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        found.pool_classes_by_scheme = tracking_pools(self._track)
        return found

    def _track(self, link: socket.socket) -> None:
        with self._lock:
            self._sockets.add(link)

    @cached_property
    def _sdk(self) -> Any:
        from devtools.kube.sdk import sdk_client

        return sdk_client(self._kubeconfig, self._context)


def tracking_pools(track: Callable[[socket.socket], None]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return urllib3's pools that call `track` with the socket of each connection they make, handshake included."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Tracked(HTTPConnection):
        """Python's TLS socket replaces the first socket, so `connect` tracks a duplicate of that one meanwhile."""

        _duplicate: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            made = super()._new_conn()
            self._duplicate = made.dup()
            track(self._duplicate)
            return made

        def connect(self) -> None:
            try:
                super().connect()
            finally:
                if self._duplicate is not None:
                    self._duplicate.close()
            track(self.sock)

    class Encrypted(Tracked, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Tracked

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
