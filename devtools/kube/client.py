"""A small client of the Kubernetes API: JSON in, JSON out.

It handles forty kinds of objects, most of them custom, so typed models would not help. With plain certificates the SDK
is not imported, which saves a fifth of a second on every command. The SDK is used only for exec plugins that provide
credentials, and for port-forwards (`forward`). API: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.machine_json import read_json
from devtools.errors import EnvironmentFault
from devtools.kube.api_errors import CONFLICT, GONE, NOT_FOUND, REFUSED, ApiError, Tolerated
from devtools.kube.connections import Connections
from devtools.kube.discovery import ACCEPT, Discovery, Resource
from devtools.kube.lines import split
from devtools.kube.wire import JSON, Answer, Request, ServerGone, Wire
from devtools.model import ObjectRef
from devtools.process.runner import Cancel
from devtools.redaction import Redactor

if TYPE_CHECKING:
    import urllib3

__all__ = ["ApiError", "Kube", "Resource", "ServerGone"]

METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
MERGE_PATCH = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
RETRY_FOR = 30.0  # seconds to wait for an unreachable API server: a restart takes ten
READ_FOR = 30.0  # seconds without a byte of an answer
CLEAN_UP_FOR = 5.0
PAGE = 500
RESTARTS = 3  # of a list whose later pages have expired


class Kube:
    """One API server, as one user. Safe to use from many threads."""

    def __init__(  # noqa: PLR0913 - each has a default that holds almost everywhere
        self,
        kubeconfig: Path,
        context: str,
        cancel: Cancel,
        retry_for: float = RETRY_FOR,
        read_for: float = READ_FOR,
        say: Callable[[str], None] = lambda _: None,
        connections: Connections | None = None,
        *,
        known: bool = False,
        redactor: Redactor | None = None,
    ) -> None:
        """Neither read nor connect yet; `connections` may be shared with another client of this server and user.

        `retry_for` is the longest wait in seconds for an unreachable server, `read_for` that for the next byte of an
        answer; `say` gets a message when a wait for the server begins and when it answers again. A `known` server
        exists, so the client waits for it as long as for one that answered before. `redactor` hides secrets in log
        lines.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        self.cancel = cancel  # ends all requests that wait for an answer
        self.redactor = redactor or Redactor()
        self.connections = connections or Connections(kubeconfig, context)
        self._wire = Wire(self.connections, cancel, retry_for=retry_for, read_for=read_for, say=say, known=known)
        self._discovery = Discovery(lambda path: self._json(Request(path=path, accept=ACCEPT)))

    def beyond_cancel(self) -> Kube:
        """Return a client for cleaning up: a cancel does not end its requests, but they wait 5 seconds at most."""
        return Kube(
            self._kubeconfig, self._context, Cancel(), retry_for=0.0, read_for=CLEAN_UP_FOR, redactor=self.redactor
        )

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """Return one object or list, None if there is none."""
        with Tolerated(NOT_FOUND):
            return self._json(Request(path=path, query=query))
        return None

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return all objects of a collection, read in pages; empty if the kind is not served."""
        return self._list(path, JSON, query)

    def metadata(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return the `metadata` of all objects of a collection, which is cheap if the objects are large."""
        return [item.get("metadata") or {} for item in self._list(path, METADATA_LIST, query)]

    def create(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """POST an object.

        If the answer to the first attempt was lost and the second attempt finds that the object exists, the first
        attempt created it, and the existing object is returned.
        """
        request = Request(method="POST", path=path, query=query, body=body)
        answer = self._wire.send(request)
        name = str((body.get("metadata") or {}).get("name") or "")
        if answer.response.status == CONFLICT and answer.repeated and name:
            return self._json(Request(path=f"{path}/{name}"))
        return self._parsed(request, answer)

    def merge(self, path: str, body: Mapping[str, Any], manager: str = "devtools") -> dict[str, Any]:
        """Merge-patch an object."""
        return self._patch(path, body, MERGE_PATCH, fieldManager=manager)

    def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply an object on the server as devtools, taking over fields of other field managers."""
        return self._patch(path, body, APPLY, fieldManager="devtools", force="true")

    def rehearse(self, path: str, body: Mapping[str, Any], manager: str, *, strict: bool = False) -> dict[str, Any]:
        """Return what a forced apply as `manager` would result in; `strict` refuses unknown and duplicate fields."""
        validation = "Strict" if strict else "Ignore"
        query = {"fieldManager": manager, "force": "true", "dryRun": "All", "fieldValidation": validation}
        return self._patch(path, body, APPLY, **query)

    def validate(self, path: str, body: Mapping[str, Any]) -> None:
        """Have the server validate a new object without storing it; raise ApiError for unknown fields, too."""
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        self._json(Request(method="POST", path=path, body=body, query=query))

    def delete(self, path: str, propagation: str = "Background", version: str = "") -> bool:
        """Delete an object; return False if it did not exist. ApiError (CONFLICT) if it has another `version`."""
        body = {"preconditions": {"resourceVersion": version}} if version else None
        with Tolerated(NOT_FOUND):
            self._json(Request(method="DELETE", path=path, query={"propagationPolicy": propagation}, body=body))
            return True
        return False

    def rehearse_delete(self, path: str) -> None:
        """Have the server validate a deletion without deleting; raise ApiError if it would refuse."""
        self._json(Request(method="DELETE", path=path, query={"dryRun": "All"}))

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """Yield a text answer (a pod's log) line by line as it arrives, until the server ends it or on cancel."""
        request = Request(path=path, query=query, accept="", stream=True)
        response = _accepted(self._wire.send(request))
        try:
            yield from split(response, self.cancel, self.redactor.text, self.redactor.reach)
        finally:
            response.close()  # half-read, it cannot serve the next request

    def was_away(self, since: float) -> bool:
        """Return whether a request of this client got no answer after `since` (monotonic seconds)."""
        return self._wire.failed_at >= since

    def now(self) -> datetime:
        """Return the time of day by the server's clock, from its last answer."""
        return self._wire.now()

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer the latest request."""
        return self._wire.is_away

    def check(self) -> None:
        """Wait until the server, including its etcd, reports that it is ready; raise ServerGone if it does not in time.

        A server without its etcd still answers `/version`.
        """
        request = Request(path="/readyz", accept="")
        if self._wire.send(request, health=True).response.status >= REFUSED:  # a proxy does not know /readyz
            self.version()

    def version(self) -> str:
        """Return the server's version, `v1.34.4`."""
        return str(self._json(Request(path="/version")).get("gitVersion", ""))

    def discover(self) -> None:
        """Forget the served kinds, because a CRD may have been created or deleted."""
        self._discovery.forget()

    def served(self) -> tuple[Resource, ...]:
        """Return every served kind, in each version that serves it."""
        return self._discovery.served()

    def resource(self, kind: str, api_version: str = "") -> Resource | None:
        """Return the served kind; if `api_version` is empty, core groups have precedence."""
        return self._discovery.find(kind, api_version)

    def path_of(self, ref: ObjectRef) -> str | None:
        """Return the URL path of an object, None if its kind is not served."""
        resource = self.resource(ref.kind, ref.api_version)
        return resource.path(ref.namespace, ref.name) if resource else None

    @contextlib.contextmanager
    def forward(self, namespace: str, pod: str, port: int) -> Iterator[Any]:
        """Yield a socket to a pod's port through the API server and close it afterwards; raise ApiError if refused."""
        from devtools.kube.forward import forward

        with forward(self._kubeconfig, self._context, namespace, pod, port) as link:
            yield link

    def _json(self, request: Request) -> dict[str, Any]:
        return self._parsed(request, self._wire.send(request))

    def _patch(self, path: str, body: Mapping[str, Any], content: str, **query: str) -> dict[str, Any]:
        return self._json(Request(method="PATCH", path=path, body=body, content=content, query=query))

    def _parsed(self, request: Request, answer: Answer) -> dict[str, Any]:
        """Return the JSON object of an answer; raise ApiError for a refusal."""
        data = _accepted(answer).data
        with contextlib.suppress(ValueError):
            document = read_json(data)
            if isinstance(document, dict):
                return document
        raise self._not_kubernetes(request.path)

    def _items(self, page: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
        """Return the objects of a list, each with a map as its metadata."""
        found = page.get("items") or []
        if isinstance(found, list) and all(
            isinstance(one, dict) and isinstance(one.get("metadata") or {}, dict) for one in found
        ):
            return found
        raise self._not_kubernetes(path)

    def _not_kubernetes(self, path: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self._wire.server} is not a Kubernetes API server ({path})",
            hint="check the server of the context, and any proxy in between",
        )

    def _list(self, path: str, accept: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the items of a list, read in pages; start again if the next page has expired meanwhile."""
        for _ in range(RESTARTS):
            try:
                return list(self._pages(path, accept, query))
            except ApiError as error:
                if error.status == NOT_FOUND:
                    return []
                if error.status != GONE:
                    raise
        return self._items(self._json(Request(path=path, query=query, accept=accept)), path)

    def _pages(self, path: str, accept: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        token, passed = "", set[str]()
        while True:
            params = {"limit": str(PAGE), **query, **({"continue": token} if token else {})}
            page = self._json(Request(path=path, query=params, accept=accept))
            yield from self._items(page, path)
            metadata = page.get("metadata")
            token = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
            if not token:
                return
            if token in passed:  # a server that always gives the same answer would be queried for ever
                raise self._not_kubernetes(path)
            passed.add(token)


def _accepted(answer: Answer) -> urllib3.BaseHTTPResponse:
    """Return the response, or raise ApiError if it is a refusal."""
    if answer.response.status < REFUSED:
        return answer.response
    try:
        raise _refusal(answer.response)
    finally:
        answer.response.release_conn()


def _refusal(response: urllib3.BaseHTTPResponse) -> ApiError:
    """Return the `Status` object of a refusal as an error."""
    from urllib3.exceptions import HTTPError

    data, status = b"", None
    with contextlib.suppress(HTTPError, OSError, ValueError):  # a stream that was cut off, or not JSON
        data = response.data
        status = read_json(data)
    status = status if isinstance(status, dict) else {}
    message = str(status.get("message") or data[:200].decode("utf-8", "replace"))
    return ApiError(response.status, str(status.get("reason") or "Error"), message)
