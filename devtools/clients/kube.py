"""A small client of the Kubernetes API over one pool of connections: JSON in, JSON out.

Objects of forty kinds pass through here, most of them custom, so typed models would only be in the way; with
plain certificates the SDK is not even imported, which saves a fifth of a second on every command. The SDK is
used where it earns that: exec plugins for credentials, and port-forwards (`portforward`).
API: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from devtools.clients.kubeconfig import Credentials, read_credentials, ssl_context
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.process import Cancel
from devtools.stack.model import ObjectRef

if TYPE_CHECKING:
    import urllib3

JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MERGE_PATCH = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
NOT_FOUND = 404
CONFLICT = 409
RETRY_FOR = 15.0  # seconds an unreachable API server is waited for
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind that the API server serves: its path's plural, and whether it lives in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of the collection, or of one object."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


class ApiError(DevtoolsError):
    """The API server refused a request; `status` is HTTP's, `reason` is Kubernetes' (`NotFound`, `Forbidden`)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """From a `Status` object."""
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.text = message


class Kube:
    """One API server, as one user. Safe to use from many threads."""

    def __init__(self, kubeconfig: Path, context: str, cancel: Cancel, retry_for: float = RETRY_FOR) -> None:
        """Nothing is read or connected to yet; `retry_for` seconds bound the waiting for a server that is away."""
        self._kubeconfig = kubeconfig
        self._context = context
        self._cancel = cancel
        self._retry_for = retry_for

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """One object or list, None where there is none."""
        try:
            return self._json("GET", path, query=query)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All objects of a collection (in pages); none where the kind is not served."""
        return list(self._pages(path, JSON, query))

    def metadata(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The `metadata` of all objects of a collection: cheap where the objects are large."""
        return [item["metadata"] for item in self._pages(path, METADATA_LIST, query)]

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST an object."""
        return self._json("POST", path, body=body)

    def merge(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch an object."""
        return self._json("PATCH", path, body=body, content=MERGE_PATCH, query={"fieldManager": "devtools"})

    def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply of an object as ours, taking over fields that others hold."""
        return self._json("PATCH", path, body=body, content=APPLY, query={"fieldManager": "devtools", "force": "true"})

    def delete(self, path: str, propagation: str = "Background") -> bool:
        """Delete an object; False where it was already gone."""
        try:
            self._json("DELETE", path, query={"propagationPolicy": propagation})
        except ApiError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """A text answer line by line as it comes (pod logs); ends when the server does or on cancel."""
        response = self._send("GET", path, query=query, stream=True)
        try:
            yield from _split(response, self._cancel)
        finally:
            response.release_conn()

    def version(self) -> str:
        """The server's version, `v1.34.4`."""
        return str(self._json("GET", "/version")["gitVersion"])

    def discover(self) -> None:
        """Forget what kinds are served: a CRD may have come."""
        self.__dict__.pop("_resources", None)

    def resource(self, kind: str, api_version: str = "") -> Resource | None:
        """The served kind; the core groups win over others where `api_version` is empty."""
        found = [
            item
            for item in self._resources
            if item.kind == kind and (not api_version or item.api_version == api_version)
        ]
        return min(found, key=lambda item: "." in item.api_version) if found else None

    def path_of(self, ref: ObjectRef) -> str | None:
        """The URL path of an object, None where its kind is not served."""
        resource = self.resource(ref.kind, ref.api_version)
        return resource.path(ref.namespace, ref.name) if resource else None

    @cached_property
    def _resources(self) -> tuple[Resource, ...]:
        """Every served kind in its preferred version: two requests, whatever the number of groups."""
        found: list[Resource] = []
        for root in ("/api", "/apis"):
            for group in self._json("GET", root, accept=DISCOVERY)["items"]:
                found += _served(group)
        return tuple(found)

    @cached_property
    def _credentials(self) -> Credentials:
        return read_credentials(self._kubeconfig, self._context)

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        """The connections."""
        import urllib3  # noqa: PLC0415 - only what talks to a cluster pays for it

        credentials = self._credentials
        if credentials.needs_sdk:
            return self._sdk.rest_client.pool_manager  # type: ignore[no-any-return]
        extra: dict[str, Any] = {"server_hostname": credentials.server_name} if credentials.server_name else {}
        options: dict[str, Any] = {"maxsize": 16, "block": False, "ssl_context": ssl_context(credentials), **extra}
        if credentials.proxy:
            return urllib3.ProxyManager(credentials.proxy, **options)
        return urllib3.PoolManager(**options)

    @cached_property
    def _sdk(self) -> Any:
        """The SDK's client: for exec plugins and port-forwards."""
        from kubernetes import config  # noqa: PLC0415 - a fifth of a second, rarely needed

        try:
            return config.new_client_from_config(str(self._kubeconfig), self._context)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise EnvironmentFault(f"cannot use context {self._context}: {error}") from error

    def forward(self, namespace: str, pod: str, port: int) -> Any:
        """A socket to a pod's port, through the API server (the SDK's `portforward`)."""
        from kubernetes import client, stream  # noqa: PLC0415 - see _sdk

        api = client.CoreV1Api(self._sdk)
        link = stream.portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        return link.socket(port)

    def _headers(self) -> dict[str, str]:
        """Authorization, where it is a header."""
        if self._credentials.needs_sdk:
            headers: dict[str, str] = {}
            self._sdk.update_params_for_auth(headers, [], ["BearerToken"])
            return headers
        return {"Authorization": f"Bearer {self._credentials.token}"} if self._credentials.token else {}

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = JSON,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """One request with a JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        response = self._send(method, path, query=query, data=data, content=content, accept=accept)
        return dict(json.loads(response.data))

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content: str = JSON,
        accept: str = JSON,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """One request; a server that is away is waited for, a refusal is an ApiError."""
        url = self._credentials.server.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = {**self._headers(), "Accept": accept, "User-Agent": "devtools"}
        if data is not None:
            headers["Content-Type"] = content
        response = self._attempt(method, url, headers, data, stream=stream)
        if response.status >= 400:  # noqa: PLR2004 - HTTP's
            raise _refusal(response)
        return response

    def _attempt(
        self, method: str, url: str, headers: dict[str, str], data: bytes | None, *, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        """Send, and again with growing pauses while the server cannot be reached or is overloaded."""
        import urllib3  # noqa: PLC0415 - see _pool
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - see _pool

        pause, waited = 0.1, 0.0
        timeout = urllib3.Timeout(connect=5.0, read=None if stream else 30.0)
        while True:
            try:
                response = self._pool.request(
                    method, url, headers=headers, body=data, timeout=timeout, retries=False, preload_content=not stream
                )
                if response.status not in {429, 503} or waited >= self._retry_for:
                    return response
            except HTTPError as error:
                if waited >= self._retry_for:
                    raise EnvironmentFault(
                        f"the API server at {self._credentials.server} does not answer: {_short(error)}",
                        hint="invoke cluster.status",
                    ) from error
            if self._cancel.wait(pause):
                raise EnvironmentFault(f"the API server at {self._credentials.server} does not answer")
            waited += pause
            pause = min(pause * 2, 2.0)

    def _pages(self, path: str, accept: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Items of a list, page by page."""
        token = ""
        while True:
            params = {"limit": str(PAGE), **query, **({"continue": token} if token else {})}
            try:
                page = self._json("GET", path, query=params, accept=accept)
            except ApiError as error:
                if error.status == NOT_FOUND:
                    return
                raise
            yield from page.get("items") or []
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return


def _served(group: dict[str, Any]) -> list[Resource]:
    """Kinds of one group, each once, in the first (preferred) version that has it."""
    name = group.get("metadata", {}).get("name", "")
    found: dict[str, Resource] = {}
    for version in group.get("versions", []):
        label = f"{name}/{version['version']}" if name else version["version"]
        for item in version.get("resources", []):
            kind = item.get("responseKind", {}).get("kind", "")
            found.setdefault(
                f"{label}/{item['resource']}",
                Resource(
                    api_version=label, kind=kind, plural=item["resource"], namespaced=item["scope"] == "Namespaced"
                ),
            )
    return list(found.values())


def _split(response: urllib3.BaseHTTPResponse, cancel: Cancel) -> Iterator[str]:
    """Lines of a streamed answer."""
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - see Kube._pool

    rest = b""
    try:
        for chunk in response.stream(65536):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "backslashreplace")
            if cancel.is_set():
                return
    except HTTPError:
        pass  # the connection ended with the container
    if rest:
        yield rest.decode("utf-8", "backslashreplace")


def _refusal(response: urllib3.BaseHTTPResponse) -> ApiError:
    """The `Status` object of a refusal as an error."""
    data = response.data or response.read()
    try:
        status = json.loads(data)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    message = str(status.get("message") or data[:200].decode("utf-8", "replace"))
    return ApiError(response.status, str(status.get("reason") or "Error"), message)


def _short(error: Exception) -> str:
    """The last clause of urllib3's nested messages."""
    return str(error).rpartition(": ")[2].strip("')>") or type(error).__name__
