"""The error of a request that the API server refused."""

from __future__ import annotations

from devtools.errors import DevtoolsError, ExitCode

REFUSED = 400  # and above
BROKEN = 500  # and above
TOO_MANY = 429
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE = 401, 403, 404, 409, 410
_HINTS = {
    UNAUTHORIZED: "the credentials in the kubeconfig are not accepted, or not any more: log in to the cluster again",
    TOO_MANY: "the API server is overloaded: try again later",
}


class ApiError(DevtoolsError):
    """The API server refused a request; `status` is HTTP's, `reason` is Kubernetes' (`NotFound`, `Forbidden`)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        broken = status in {UNAUTHORIZED, FORBIDDEN, TOO_MANY} or status >= BROKEN
        super().__init__(
            f"the API server answered {status} {reason}: {message}",
            hint=_HINTS.get(status, "invoke cluster.status" if broken and status != FORBIDDEN else ""),
            exit_code=ExitCode.ENVIRONMENT if broken else None,
        )
        self.status = status
        self.reason = reason
        self.text = message


class Tolerated:
    """Suppresses the refusal of a request with one of these statuses: `with Tolerated(FORBIDDEN): …`."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = statuses

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, ApiError) and error.status in self._statuses
