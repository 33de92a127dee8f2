"""The run lock on the cluster: a Lease, so that runs of one stack from several machines do not work at once.

A holder renews its Lease; another run takes over a Lease that is no longer renewed. As in client-go's leader election,
an observer measures with its own clock the time since it last saw the Lease change, so different clocks do no harm
(https://pkg.go.dev/k8s.io/client-go/tools/leaderelection). All writes name the resourceVersion that they are based on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted
from devtools.kube.api_errors import CONFLICT, FORBIDDEN, NOT_FOUND, Tolerated
from devtools.kube.client import ApiError, Kube
from devtools.locks.holder import Holder, printable, read_holder
from devtools.process.runner import Cancel

DURATION = 45.0  # seconds without a renewal after which a Lease is taken over; an outage of the API server is shorter
RENEW = 5.0  # seconds between renewals
_RENEWED_IN = 30.0  # seconds that a renewal under way may take when the run ends
_LOOK = 1.0  # seconds between reads of a Lease that another run holds
_HOLDER = "devtools.ameide.io/holder"
_API = "coordination.k8s.io/v1"
_MOST_TRANSITIONS = 2**31 - 1  # that the API server accepts
_PREFIX = "devtools-"  # of the names of Leases


class Lease:
    """One Lease, and whether this process holds it."""

    def __init__(
        self, kube: Kube, namespace: str, stack: str, holder: Holder, *, renewing: Kube, duration: float = DURATION
    ) -> None:
        """Neither read nor write yet; `renewing` renews and deletes, without waiting for an unreachable server."""
        self._kube = kube
        self._renewing = renewing
        self._holder = holder
        self._duration = duration
        self._collection = f"/apis/{_API}/namespaces/{namespace}/leases"
        self._name = f"{_PREFIX}{stack}"
        self._version = ""  # the resourceVersion of this process's last write

    def acquire(self, *, wait: bool, cancel: Cancel, say: Callable[[str], None]) -> None:
        """Acquire the Lease; wait for its holder, or raise EnvironmentFault, naming the holder, if `wait` is off.

        Raises ApiError if this user may not read or write it, Interrupted on cancel.
        """
        last, changed, shown = "", time.monotonic(), ""
        while not self._try_create(self._kube):
            found = self._kube.get(self._path)
            if found is None:
                continue
            version, other = str(found["metadata"].get("resourceVersion")), _holder_of(found)
            if version != last:
                last, changed = version, time.monotonic()
            duration = _duration_of(found)
            if (other.is_dead() or time.monotonic() - changed >= duration) and self._try_take(found):
                return
            if not wait and _age(self._kube, found) < duration:
                raise EnvironmentFault(f"another run holds the cluster's run lock: {other}", hint="leave out --no-wait")
            if str(other) != shown:
                shown = str(other)
                say(f"waiting for another run: {shown}")
            if cancel.wait(_LOOK):
                raise Interrupted(cancel.reason)

    def renew(self) -> bool:
        """Renew the Lease; return False if another run holds it now. Raises DevtoolsError if that is not known."""
        if self._write(lambda: self._renewing.merge(self._path, self._body(self._version)), CONFLICT, NOT_FOUND):
            return True
        found = self._renewing.get(self._path)
        if found is None:  # deleted with its namespace, or by hand
            return self._try_create(self._renewing)
        return self._remember(found)  # changed by an earlier write, or by hand

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer the run's latest request."""
        return self._kube.is_away

    def release(self) -> None:
        """Delete the Lease if this process still holds it."""
        if self.is_away:  # it will expire
            return
        with contextlib.suppress(DevtoolsError):
            self._renewing.delete(self._path, version=self._version)

    def current(self) -> Holder | None:
        """Return the holder, whether or not its process still runs; None if the Lease is free."""
        found = self._renewing.get(self._path)
        return None if found is None else _holder_of(found)

    @property
    def _path(self) -> str:
        return f"{self._collection}/{self._name}"

    def _body(self, version: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata: dict[str, Any] = {"annotations": {_HOLDER: self._holder.note()}}
        spec: dict[str, Any] = {"holderIdentity": self._holder.identity, "renewTime": now}
        spec["leaseDurationSeconds"] = round(self._duration)
        return {"metadata": {**metadata, **({"resourceVersion": version} if version else {})}, "spec": spec}

    def _try_create(self, kube: Kube) -> bool:
        """Create the Lease; return False if it exists."""
        body = self._body("")
        body |= {"apiVersion": _API, "kind": "Lease"}
        body["metadata"]["name"] = self._name
        return self._write(lambda: kube.create(self._collection, body), CONFLICT)

    def _try_take(self, found: Mapping[str, Any]) -> bool:
        """Take over a Lease as it was read; return False if it has changed since."""
        body = self._body(str(found["metadata"]["resourceVersion"]))
        body["spec"]["acquireTime"] = body["spec"]["renewTime"]
        transitions = int((found.get("spec") or {}).get("leaseTransitions") or 0)
        body["spec"]["leaseTransitions"] = transitions + 1 if 0 <= transitions < _MOST_TRANSITIONS else 1
        return self._write(lambda: self._kube.merge(self._path, body), CONFLICT, NOT_FOUND)

    def _write(self, write: Callable[[], Mapping[str, Any]], *refusals: int) -> bool:
        """Write the Lease; return False if that is refused because it exists, has changed or is gone."""
        with Tolerated(*refusals):
            return self._remember(write())
        return False

    def _remember(self, lease: Mapping[str, Any]) -> bool:
        """Return whether this process holds a Lease as it was read, and remember its version then."""
        is_ours = (lease.get("spec") or {}).get("holderIdentity") == self._holder.identity
        if is_ours:
            self._version = str(lease["metadata"]["resourceVersion"])
        return is_ours


@contextlib.contextmanager
def hold(
    lease: Lease,
    *,
    wait: bool,
    cancel: Cancel,
    say: Callable[[str], None],
    lost: Callable[[EnvironmentFault], None],
    every: float = RENEW,
) -> Iterator[str]:
    """Hold the Lease while the body runs, renewing it; `lost` is called if another run takes it over meanwhile.

    If this user may not write Leases there, the body runs without one, and gets the API server's refusal.
    """
    try:
        lease.acquire(wait=wait, cancel=cancel, say=say)
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        yield error.text
        return
    over = Event()
    renewer = Thread(target=_renew, args=(lease, over, lost, every), name="lease", daemon=True)
    renewer.start()
    try:
        yield ""
    finally:
        over.set()
        if not lease.is_away:  # a renewal under way changes the version, or makes the Lease again
            renewer.join(_RENEWED_IN)
        lease.release()


def _renew(lease: Lease, over: Event, lost: Callable[[EnvironmentFault], None], every: float) -> None:
    """Renew the Lease until the body ends; retry if the server is unreachable."""
    while not over.wait(every):
        with contextlib.suppress(DevtoolsError):
            if not lease.renew():
                other = lease.current()
                lost(EnvironmentFault(f"this run no longer holds the cluster's run lock: {other} took it over"))
                return


def find_holder(kube: Kube, namespace: str, stack: str) -> Holder | None:
    """Return the run that holds the Lease of a stack now, None if there is none: one request."""
    found = kube.get(f"/apis/{_API}/namespaces/{namespace}/leases/{_PREFIX}{stack}")
    return _holder_of(found) if found and _is_current(kube, found) else None


def find_holders(kube: Kube) -> list[Holder]:
    """Return the runs, of all stacks and machines, that hold Leases of the cluster now."""
    found = [
        _holder_of(item)
        for item in kube.items(f"/apis/{_API}/leases")
        if item["metadata"]["name"].startswith(_PREFIX)
        and _HOLDER in (item["metadata"].get("annotations") or {})
        and _is_current(kube, item)
    ]
    return list({holder.identity: holder for holder in found}.values())


def _is_current(kube: Kube, lease: Mapping[str, Any]) -> bool:
    """Return whether its holder may still run: it is not known to be dead, and has renewed the Lease in time."""
    return not _holder_of(lease).is_dead() and _age(kube, lease) < _duration_of(lease)


def _age(kube: Kube, lease: Mapping[str, Any]) -> float:
    """Return the seconds since the last write, by the API server's clock."""
    times = [str(entry.get("time", "")) for entry in lease["metadata"].get("managedFields") or ()]
    try:
        return (kube.now() - datetime.fromisoformat(max(times, default=""))).total_seconds()
    except ValueError:
        return 0.0


def _holder_of(lease: Mapping[str, Any]) -> Holder:
    """Return the holder that a Lease names; its content is not trusted."""
    spec = lease.get("spec") or {}
    identity = str(spec.get("holderIdentity"))
    holder = read_holder(str((lease["metadata"].get("annotations") or {}).get(_HOLDER, "")), identity)
    name = printable(spec.get("holderIdentity") or "an unknown program")
    return holder or Holder(what="a run", who=name, pid=0, started="an unknown time", machine="")


def _duration_of(lease: Mapping[str, Any]) -> float:
    """Return the seconds after which a Lease is taken over; the duration in it can only shorten that."""
    seconds = (lease.get("spec") or {}).get("leaseDurationSeconds")
    return min(float(seconds), DURATION) if isinstance(seconds, int) else DURATION
