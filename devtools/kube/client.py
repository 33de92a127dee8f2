"""A small client of the Kubernetes API: JSON in, JSON out.

Objects of forty kinds pass through here, most of them custom, so typed models would only be in the way; with
plain certificates the SDK is not even imported, which saves a fifth of a second on every command. The SDK is
used where it earns that: exec plugins for credentials, and port-forwards (`forward`).
API: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.machine_json import read_json
from devtools.errors import EnvironmentFault
from devtools.kube.api_errors import CONFLICT, GONE, NOT_FOUND, REFUSED, ApiError
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
RETRY_FOR = 30.0  # seconds an unreachable API server is waited for: a restart of one takes ten
READ_FOR = 30.0  # seconds without a byte of an answer
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
        """Nothing is read or connected to yet; `connections` are those of another client of this server and user.

        `retry_for` seconds bound the waiting for a server that is away, `read_for` seconds that for the next byte of
        an answer; `say` is told when a server begins to be waited for, and when it answers again. A `known` server
        exists, and is waited for as long as one that answered before. `redactor` hides secrets in the lines of logs.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        self.cancel = cancel  # ends whatever waits for an answer
        self.redactor = redactor or Redactor()
        self.connections = connections or Connections(kubeconfig, context)
        self._wire = Wire(self.connections, cancel, retry_for=retry_for, read_for=read_for, say=say, known=known)
        self._discovery = Discovery(lambda path: self._json(Request(path=path, accept=ACCEPT)))

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """One object or list, None where there is none."""
        try:
            return self._json(Request(path=path, query=query))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All objects of a collection (in pages); none where the kind is not served."""
        return self._list(path, JSON, query)

    def metadata(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The `metadata` of all objects of a collection: cheap where the objects are large."""
        return [item.get("metadata") or {} for item in self._list(path, METADATA_LIST, query)]

    def create(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """POST an object.

        When the answer to a first try was lost and a second one finds the name taken, it is the first that took it:
        the object that is there is returned.
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
        """Server-side apply of an object as ours, taking over fields that others hold."""
        return self._patch(path, body, APPLY, fieldManager="devtools", force="true")

    def rehearse(self, path: str, body: Mapping[str, Any], manager: str, *, strict: bool = False) -> dict[str, Any]:
        """What a server-side apply as `manager` would make of an object, taking over what others hold; a dry run.

        `strict` refuses fields that are in no schema, and duplicate ones.
        """
        validation = "Strict" if strict else "Ignore"
        query = {"fieldManager": manager, "force": "true", "dryRun": "All", "fieldValidation": validation}
        return self._patch(path, body, APPLY, **query)

    def validate(self, path: str, body: Mapping[str, Any]) -> None:
        """Have the server judge a new object, without storing it; raises ApiError for unknown fields, too."""
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        self._json(Request(method="POST", path=path, body=body, query=query))

    def delete(self, path: str, propagation: str = "Background", version: str = "") -> bool:
        """Delete an object; False where it was already gone.

        With `version` only while that is its resourceVersion: ApiError (CONFLICT) where it is not.
        """
        body = {"preconditions": {"resourceVersion": version}} if version else None
        try:
            self._json(Request(method="DELETE", path=path, query={"propagationPolicy": propagation}, body=body))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    def rehearse_delete(self, path: str) -> None:
        """Have the server judge a deletion, without doing it; raises ApiError where it would refuse."""
        self._json(Request(method="DELETE", path=path, query={"dryRun": "All"}))

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """A text answer line by line as it comes (pod logs); ends when the server does or on cancel."""
        request = Request(path=path, query=query, accept="", stream=True)
        response = _accepted(self._wire.send(request)).response
        try:
            yield from split(response, self.cancel, self.redactor.text, self.redactor.reach)
        finally:
            response.close()  # half-read, it would be of no use to the next request

    def was_away(self, since: float) -> bool:
        """Whether a request of ours went without an answer after `since` (monotonic seconds)."""
        return self._wire.failed_at >= since

    def now(self) -> datetime:
        """The time of day by the server's clock, as of its last answer."""
        return self._wire.now()

    @property
    def is_away(self) -> bool:
        """Whether the last that is known of the server is that it does not answer."""
        return self._wire.is_away

    def check(self) -> None:
        """Wait until the server says that it is ready, its etcd included; ServerGone where it does not in time.

        `/version` is answered by a server without its etcd, too.
        """
        request = Request(path="/readyz", accept="")
        if self._wire.send(request, health=True).response.status >= REFUSED:  # something in between knows no /readyz
            self.version()

    def version(self) -> str:
        """The server's version, `v1.34.4`."""
        return str(self._json(Request(path="/version")).get("gitVersion", ""))

    def discover(self) -> None:
        """Forget what kinds are served: a CRD may have come or gone."""
        self._discovery.forget()

    def served(self) -> tuple[Resource, ...]:
        """Every served kind, in each version that serves it."""
        return self._discovery.served()

    def resource(self, kind: str, api_version: str = "") -> Resource | None:
        """The served kind; the core groups win over others where `api_version` is empty."""
        return self._discovery.find(kind, api_version)

    def path_of(self, ref: ObjectRef) -> str | None:
        """The URL path of an object, None where its kind is not served."""
        resource = self.resource(ref.kind, ref.api_version)
        return resource.path(ref.namespace, ref.name) if resource else None

    @contextlib.contextmanager
    def forward(self, namespace: str, pod: str, port: int) -> Iterator[Any]:
        """A socket to a pod's port, through the API server, closed afterwards; raises ApiError where refused."""
        from devtools.kube.forward import forward

        with forward(self._kubeconfig, self._context, namespace, pod, port) as link:
            yield link

    def _json(self, request: Request) -> dict[str, Any]:
        """One request with a JSON answer."""
        return self._parsed(request, self._wire.send(request))

    def _patch(self, path: str, body: Mapping[str, Any], content: str, **query: str) -> dict[str, Any]:
        return self._json(Request(method="PATCH", path=path, body=body, content=content, query=query))

    def _parsed(self, request: Request, answer: Answer) -> dict[str, Any]:
        """The JSON object of an answer; ApiError for a refusal."""
        data = _accepted(answer).response.data
        with contextlib.suppress(ValueError):
            document = read_json(data)
            if isinstance(document, dict):
                return document
        raise self._not_kubernetes(request.path)

    def _items(self, page: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
        """The objects of a list, which each have a map for their metadata."""
        found = page.get("items") or []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self._not_kubernetes(path)
        if not all(isinstance(one.get("metadata") or {}, dict) for one in found):
            raise self._not_kubernetes(path)
        return found

    def _not_kubernetes(self, path: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self._wire.server} is not a Kubernetes API server ({path})",
            hint="check the server of the context, and any proxy in between",
        )

    def _list(self, path: str, accept: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Items of a list, in pages; begun anew when it took so long that its next page has expired."""
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
            if token in passed:  # what answers every question the same would be asked for ever
                raise self._not_kubernetes(path)
            passed.add(token)


def _accepted(answer: Answer) -> Answer:
    """The answer, unless it is a refusal."""
    if answer.response.status < REFUSED:
        return answer
    try:
        raise _refusal(answer.response)
    finally:
        answer.response.release_conn()


def _refusal(response: urllib3.BaseHTTPResponse) -> ApiError:
    """The `Status` object of a refusal as an error."""
    from urllib3.exceptions import HTTPError

    data = b""
    try:
        data = response.data
        status = read_json(data)
    except (HTTPError, OSError, ValueError):  # a stream's, that broke off, or no JSON
        status = {}
    if not isinstance(status, dict):
        status = {}
    message = str(status.get("message") or data[:200].decode("utf-8", "replace"))
    return ApiError(response.status, str(status.get("reason") or "Error"), message)
