"""Sends requests to one API server over one pool of connections, and waits while the server is unreachable."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from devtools.errors import EnvironmentFault, Interrupted
from devtools.kube.connections import Connections
from devtools.kube.watchdog import Watchdog
from devtools.process.runner import Cancel

if TYPE_CHECKING:
    import urllib3

JSON = "application/json"
CONNECT = 10.0  # seconds, TLS handshake included: a busy server takes some
FIRST = 10.0  # seconds to wait for a server that has never answered: it probably does not exist
QUIET = 0.5  # seconds that a server may be unreachable before that is reported
_TIMES = frozenset({9, 10})  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
SILENT = 10.0  # seconds without any answer after which that is reported
_SLACK = 1.0  # seconds after a request's own timeout until the watchdog ends it
_BUSY = frozenset({429, 502, 503, 504})
_UNCERTAIN = frozenset({502, 504})  # the server may have carried out the request
_NOT_READY = 500
_TIMEOUT = re.compile(r"\. \((?:read|connect) timeout=([\d.]+)\)")


class ServerGone(EnvironmentFault):
    """The API server did not come back in time: nothing else that needs it should start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `path` begins with a slash, `content` is the type of its body, `accept` that of the answer."""

    method: str = "GET"
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content: str = JSON
    accept: str = JSON  # empty: any
    stream: bool = False  # the answer is read piece by piece, without a time limit

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the request's content type and the accepted types."""
        accept = {"Accept": self.accept} if self.accept else {}
        return accept if self.body is None else {**accept, "Content-Type": self.content}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer; `repeated` if an earlier attempt may have been carried out before its answer was lost."""

    response: urllib3.BaseHTTPResponse
    repeated: bool


class Wire:
    """The link to one API server, as one user. Safe to use from many threads."""

    def __init__(
        self,
        connections: Connections,
        cancel: Cancel,
        *,
        retry_for: float,
        read_for: float,
        say: Callable[[str], None],
        known: bool = False,
    ) -> None:
        """See `Kube`; a `known` server exists, although it may not have answered yet."""
        self._connections = connections
        self._cancel = cancel
        self._retry_for = retry_for
        self._read_for = read_for
        self._say = say
        self._lock = Lock()
        self._has_answered = known  # whether it has ever answered
        self._reported: float | None = None  # since when the server is unreachable, once that was reported
        self._date = ("", 0.0)  # the last answer's Date header, and when it arrived
        self.failed_at = float("-inf")  # monotonic seconds of the last request that got no answer
        self._answered = float("-inf")  # monotonic seconds of the last answer
        self._away = float("-inf")  # since when no request got an answer, if that is later than the last answer
        self._gone: tuple[str, float] | None = None  # why requests end at once, and since when
        self._watchdog = Watchdog(cancel, cut=connections.cut, late=self._late)

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._connections.server

    def now(self) -> datetime:
        """Return the time of day by the server's clock, from its last answer; by the local clock if it sent no date."""
        from email.utils import parsedate_to_datetime

        text, came = self._date
        try:
            return parsedate_to_datetime(text) + timedelta(seconds=time.monotonic() - came)
        except ValueError:
            return datetime.now(UTC)

    def send(self, request: Request, *, health: bool = False) -> Answer:
        """Send a request, and retry with growing pauses while the server is unreachable, overloaded or not ready.

        Any other answer is returned, refusals too. Raises ServerGone if the server stays unreachable for longer than
        `retry_for` seconds (FIRST if it has never answered), counted from the first unanswered request of any thread;
        for a while after that it is raised at once. Raises Interrupted on a cancel while it waits, or after a cancel if
        the server is known to be unreachable. The answer to a `health` request is 500 if the server is not ready.
        """
        from urllib3.exceptions import (
            ConnectTimeoutError,
            HTTPError,
            LocationValueError,
            NewConnectionError,
        )

        begun, pause, repeated = time.monotonic(), 0.1, False
        busy = _BUSY | {_NOT_READY} if health else _BUSY
        while True:
            self._raise_if_gone()
            if self._cancel.is_set() and self.is_away:
                raise Interrupted(self._cancel.reason or "interrupted")
            started, asked = time.monotonic(), 0.0
            try:
                with self._watchdog.track(started):
                    response = self._once(request)
                self._has_answered = True
                self._date = (response.headers.get("Date", ""), time.monotonic())
                if response.status not in busy:
                    self._answers()
                    return Answer(response=response, repeated=repeated)
                asked, why = _retry_after(response), _message_of(response)
                repeated = repeated or response.status in _UNCERTAIN
                response.drain_conn()
            except (HTTPError, OSError) as error:
                if self._cancel.is_set():
                    self.failed_at = time.monotonic()
                    raise Interrupted(self._cancel.reason or "interrupted") from error
                why = _short(error)
                if hopeless := _distrust(error) or (why if isinstance(error, LocationValueError) else ""):
                    raise EnvironmentFault(f"cannot talk to the API server at {self.server}: {hopeless}") from error
                repeated = repeated or not isinstance(error, NewConnectionError | ConnectTimeoutError)
            self._raise_if_gone()
            since, limit = self._failed(started), self._limit
            left = min(begun, since) + limit - time.monotonic()
            if left <= 0:
                raise self._give_up(why, everywhere=time.monotonic() - since >= limit)
            self._report_absence(max(min(begun, since), self._answered), why, limit)
            if self._cancel.wait(max(0.0, min(max(pause, asked), left))):
                raise Interrupted(self._cancel.reason or "interrupted")
            pause = min(pause * 2, 2.0)

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer the latest request."""
        return self.failed_at > self._answered

    def _failed(self, started: float) -> float:
        """Record that a request got no answer; return since when (monotonic seconds) no request has got one."""
        with self._lock:
            self.failed_at = time.monotonic()
            since = max(started, self._answered)
            self._away = min(self._away, since) if self._away > self._answered else since
            return self._away

    def _late(self, oldest: float) -> None:
        """Report that a request has been in flight since `oldest`, and abort it if that is too long."""
        since = max(oldest, self._answered)
        silent = time.monotonic() - since
        if silent >= SILENT:
            self._failed(oldest)
            self._report_absence(since, f"no answer for {SILENT:.0f} s", self._limit)
        if silent >= (self._limit or min(self._read_for, FIRST)) + _SLACK:
            self._give_up(f"no answer for {silent:.0f} s", everywhere=True)
            self._connections.cut()

    def _give_up(self, why: str, *, everywhere: bool) -> ServerGone:
        """Return the error of a server that did not come back; other requests end with the same error."""
        error = ServerGone(f"the API server at {self.server} does not answer: {why}", hint="invoke cluster.status")
        if everywhere:
            with self._lock:
                self._gone = self._gone or (error.message, time.monotonic())
        return error

    def _raise_if_gone(self) -> None:
        """Raise ServerGone if another request was abandoned a moment ago."""
        if self._gone is None:
            return
        message, when = self._gone
        if time.monotonic() - when < self._retry_for:
            raise ServerGone(message, hint="invoke cluster.status")
        self._gone = None

    @property
    def _limit(self) -> float:
        return self._retry_for if self._has_answered else min(self._retry_for, FIRST)

    def _once(self, request: Request) -> urllib3.BaseHTTPResponse:
        import urllib3

        query = f"?{urlencode(request.query)}" if request.query else ""
        return self._connections.pool.request(
            request.method,
            self.server.rstrip("/") + request.path + query,
            headers={"User-Agent": "devtools", **request.headers, **self._connections.authorization()},
            body=None if request.body is None else json.dumps(request.body).encode(),
            timeout=urllib3.Timeout(connect=CONNECT, read=None if request.stream else self._read_for),
            retries=False,
            preload_content=not request.stream,
        )

    def _report_absence(self, since: float, why: str, limit: float) -> None:
        """Report the wait for the server: once for all threads, and not for a short interruption."""
        if time.monotonic() - since < QUIET:
            return
        with self._lock:
            if self._reported is not None:
                return
            self._reported = since
        self._say(f"the API server at {self.server} does not answer ({why}): trying again for {limit:.0f} s")

    def _answers(self) -> None:
        """Record that the server answers; report it if its absence was reported."""
        self._answered = time.monotonic()
        if self._reported is None:
            return
        with self._lock:
            since, self._reported = self._reported, None
        if since is not None:
            self._say(f"the API server at {self.server} answers again after {time.monotonic() - since:.0f} s")


def _message_of(response: urllib3.BaseHTTPResponse) -> str:
    """Describe an answer that asks for a retry: `answers 503`, with the checks that are not ready."""
    failed = re.findall(r"^\[-\](\S+) failed", response.data.decode("utf-8", "replace"), re.MULTILINE)
    return f"answers {response.status}" + (f", not ready: {', '.join(failed)}" if failed else "")


def _retry_after(response: urllib3.BaseHTTPResponse) -> float:
    """Return the seconds that an overloaded server asks for; 0 if it names none (RFC 9110 also allows dates)."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _distrust(error: BaseException) -> str:
    """Return why the server's certificate is invalid, if that is the error: waiting does not help then."""
    for cause in (error, error.__cause__, error.__context__, *error.args):
        if isinstance(cause, ssl.SSLCertVerificationError):
            clock = "; is this machine's clock right?" if cause.verify_code in _TIMES else ""
            return f"its certificate is not trusted: {cause.verify_message}{clock}"
    return ""


def _short(error: Exception) -> str:
    """Return the system's message if there is one (`Connection refused`), else the last clause of urllib3's."""
    for cause in (error, error.__cause__, error.__context__, *error.args):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    inner = next((one for one in error.args if isinstance(one, Exception)), error)
    clause = _TIMEOUT.sub(r" after \1 s", str(inner)).rpartition(": ")[2]
    return clause.strip("')>") or type(error).__name__
