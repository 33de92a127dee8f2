"""The run lock on the cluster: Leases on a real API server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest

from devtools.clusters.provider import Cluster
from devtools.errors import EnvironmentFault, Interrupted
from devtools.kube.client import Kube
from devtools.locks import lease as leases
from devtools.locks.holder import Holder, this_machine
from devtools.locks.lease import Lease, hold
from devtools.process.runner import Cancel
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster
PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


class Place:
    """One stack's Lease, and runs that want it."""

    def __init__(self, cluster: Cluster) -> None:
        self.stack = f"s{uuid4().hex[:8]}"
        self.kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
        self.printed: list[str] = []

    def lease(self, name: str, *, machine: str = "", pid: int = 4711, duration: float = 2.0) -> Lease:
        holder = Holder(what="invoke up", who=f"{name}@host", pid=pid, started="10:00:00 UTC", machine=machine or name)
        return Lease(self.kube, "default", self.stack, holder, renewing=self.kube, duration=duration)

    def acquire(self, lease: Lease, *, wait: bool = True, cancel: Cancel | None = None) -> float:
        """Take it; the seconds that this took."""
        started = time.monotonic()
        lease.acquire(wait=wait, cancel=cancel or Cancel(), say=self.printed.append)
        return time.monotonic() - started

    @property
    def path(self) -> str:
        return f"{PATH}/devtools-{self.stack}"

    def holder(self) -> str:
        return str(self.lease("nobody").current())


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    made = Place(cluster)
    yield made
    made.kube.delete(made.path)


class Clock:
    """The clock of the run that waits: it goes on only as the holder renews, however slow the machine is."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "time", made)
    monkeypatch.setattr(leases, "_LOOK", 0.02)
    return made


def _renew_in_time(lease: Lease, clock: Clock, duration: float, waits: list[str]) -> None:
    """Renew a Lease eight times, each just before it expires, once another run waits for it."""
    eventually(lambda: waits)
    for _ in range(8):
        clock.now += duration * 0.9
        assert lease.renew()
        time.sleep(0.1)  # the other run looks in between, or does not


def test_who_may_not_wait_is_refused_with_the_holders_name(place: Place) -> None:
    first = place.lease("anna")
    place.acquire(first)
    with pytest.raises(EnvironmentFault, match=r"invoke up by anna@host \(pid 4711, since 10:00:00 UTC\)"):
        place.acquire(place.lease("ben"), wait=False)
    first.release()
    assert place.kube.get(place.path) is None, "nothing is left behind"
    place.acquire(place.lease("ben"), wait=False)


def test_a_waiter_names_the_holder_and_acquires_when_released(place: Place, clock: Clock) -> None:
    first, is_over = place.lease("anna", duration=2.0), Event()
    place.acquire(first)

    def give_up() -> None:
        _renew_in_time(first, clock, 2.0, place.printed)
        is_over.set()
        first.release()

    ending = Thread(target=give_up)
    ending.start()
    place.acquire(place.lease("ben"))
    assert is_over.is_set()
    ending.join()
    assert place.printed == ["waiting for another run: invoke up by anna@host (pid 4711, since 10:00:00 UTC)"]
    assert "ben@host" in place.holder()


@pytest.mark.parametrize("clock", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_an_expired_lock_is_acquired_whatever_the_clock(place: Place, clock: str) -> None:
    place.acquire(place.lease("anna", duration=2.0))
    place.kube.merge(place.path, {"spec": {"renewTime": clock}})
    assert place.acquire(place.lease("ben")) >= 2.0
    assert "ben@host" in place.holder()


def test_a_manually_edited_lock_is_acquired_as_any_other(place: Place, clock: Clock) -> None:
    """Its numbers are the largest that the API server takes, and nothing is known of its holder."""
    place.acquire(place.lease("anna"))
    spec = {"leaseDurationSeconds": 2**31 - 1, "leaseTransitions": 2**31 - 1, "holderIdentity": "x"}
    place.kube.merge(place.path, {"metadata": {"annotations": None}, "spec": spec})

    def later() -> None:
        eventually(lambda: place.printed)
        clock.now += leases.DURATION

    passing = Thread(target=later)
    passing.start()
    place.acquire(place.lease("ben"))
    passing.join()
    assert place.printed == ["waiting for another run: a run by x (pid 0, since an unknown time)"]
    assert "ben@host" in place.holder()


def test_a_renewed_lock_is_never_acquired_whatever_the_clock(
    place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, cancel = place.lease("anna", duration=1.0), Cancel()
    body = first._body

    def years_ago(version: str) -> dict[str, Any]:
        made = body(version)
        made["spec"]["renewTime"] = f"1999-01-01T00:00:00.{time.monotonic_ns() % 1_000_000:06}Z"
        return made

    monkeypatch.setattr(first, "_body", years_ago)
    place.acquire(first)

    def renew() -> None:
        _renew_in_time(first, clock, 1.0, place.printed)
        cancel.set("enough")

    renewing = Thread(target=renew)
    renewing.start()
    with pytest.raises(Interrupted):
        place.acquire(place.lease("ben"), cancel=cancel)
    renewing.join()
    assert "anna@host" in place.holder()


def test_a_process_of_this_machine_that_ended_is_not_waited_for(place: Place) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    place.acquire(place.lease("anna", machine=this_machine(), pid=ended.pid, duration=600))
    place.acquire(place.lease("ben"), wait=False)  # else it is refused
    with pytest.raises(EnvironmentFault, match="ben@host"):  # the same number elsewhere says nothing
        place.acquire(place.lease("carla", pid=os.getpid()), wait=False)


def test_a_run_is_informed_when_its_lease_was_replaced(place: Place) -> None:
    first, lost = place.lease("anna"), Cancel()
    with hold(first, wait=True, cancel=Cancel(), say=place.printed.append, lost=lost.fail, every=0.2):
        assert "anna@host" in place.holder()
        time.sleep(0.5)
        assert not lost.is_set()
        ben = place.lease("ben")
        eventually(lambda: ben._try_take(place.kube.get(place.path) or {}))  # it may be renewed in between
        assert lost.wait(60.0)
    assert lost.error
    assert "ben@host" in lost.error.message
    assert "ben@host" in place.holder(), "what another holds is not given up"


def test_a_renewal_that_is_under_way_at_the_end_leaves_no_lease(place: Place, cluster: Cluster) -> None:
    under_way = Event()

    class Late(Kube):
        def merge(self, path: str, body: Mapping[str, Any], manager: str = "devtools") -> dict[str, Any]:
            made = super().merge(path, body, manager)
            under_way.set()
            time.sleep(1.0)  # as long as an answer takes on a busy machine
            return made

    lease = place.lease("anna")
    lease._renewing = Late(cluster.kubeconfig, cluster.context, Cancel())
    with hold(lease, wait=True, cancel=Cancel(), say=place.printed.append, lost=Cancel().fail, every=0.1):
        assert under_way.wait(120)
    assert place.kube.get(place.path) is None


def test_a_lease_that_is_gone_is_made_again(place: Place) -> None:
    first = place.lease("anna")
    place.acquire(first)
    place.kube.delete(place.path)
    assert first.renew()
    assert "anna@host" in place.holder()


def test_what_others_write_is_shown_without_control_characters(place: Place) -> None:
    place.acquire(place.lease("a\x1b[31mnna"))
    assert "a?[31mnna@host" in place.holder()
    place.kube.merge(place.path, {"metadata": {"annotations": {"devtools.ameide.io/holder": "{broken"}}})
    assert "a run by" in place.holder()
