"""The run lock on the cluster: Leases on a real API server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Thread, Timer
from typing import Any
from uuid import uuid4

import pytest

from devtools.clusters.provider import Cluster
from devtools.errors import EnvironmentFault, Interrupted
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from devtools.run.lease import Holder, Lease, held, this_machine

pytestmark = pytest.mark.cluster
PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


class Place:
    """One stack's Lease, and runs that want it."""

    def __init__(self, cluster: Cluster) -> None:
        self.stack = f"s{uuid4().hex[:8]}"
        self.kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
        self.said: list[str] = []

    def lease(self, name: str, *, machine: str = "", pid: int = 4711, duration: float = 2.0) -> Lease:
        holder = Holder(what="invoke up", who=f"{name}@host", pid=pid, started="10:00:00 UTC", machine=machine or name)
        return Lease(self.kube, "default", self.stack, holder, renewing=self.kube, duration=duration)

    def acquire(self, lease: Lease, *, wait: bool = True, cancel: Cancel | None = None) -> float:
        """Take it; the seconds that this took."""
        started = time.monotonic()
        lease.acquire(wait=wait, cancel=cancel or Cancel(), say=self.said.append)
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


def _renewed(lease: Lease, over: Cancel) -> Thread:
    def renew() -> None:
        while not over.wait(0.3):
            assert lease.renew()

    thread = Thread(target=renew)
    thread.start()
    return thread


def test_who_may_not_wait_is_refused_with_the_holders_name(place: Place) -> None:
    first = place.lease("anna")
    place.acquire(first)
    with pytest.raises(EnvironmentFault, match=r"invoke up by anna@host \(pid 4711, since 10:00:00 UTC\)"):
        place.acquire(place.lease("ben"), wait=False)
    first.release()
    assert place.kube.get(place.path) is None, "nothing is left behind"
    place.acquire(place.lease("ben"), wait=False)


def test_who_waits_says_for_whom_and_gets_it_when_it_is_given_up(place: Place) -> None:
    first, over = place.lease("anna"), Cancel()
    place.acquire(first)
    renewing = _renewed(first, over)

    def give_up() -> None:
        time.sleep(3.0)  # longer than the Lease lasts without a renewal
        over.set("enough")
        renewing.join()
        first.release()

    ending = Thread(target=give_up)
    ending.start()
    assert place.acquire(place.lease("ben")) > 2.5
    ending.join()
    assert place.said == ["waiting for another run: invoke up by anna@host (pid 4711, since 10:00:00 UTC)"]
    assert "ben@host" in place.holder()


@pytest.mark.parametrize("clock", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_one_that_is_not_renewed_is_taken_over_whatever_the_holders_clock_says(place: Place, clock: str) -> None:
    place.acquire(place.lease("anna", duration=2.0))
    place.kube.merge(place.path, {"spec": {"renewTime": clock}})
    assert place.acquire(place.lease("ben")) >= 2.0
    assert "ben@host" in place.holder()


def test_one_that_is_renewed_is_not_taken_over_whatever_the_holders_clock_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, over = place.lease("anna", duration=1.0), Cancel()
    body = first._body

    def years_ago(version: str) -> dict[str, Any]:
        made = body(version)
        made["spec"]["renewTime"] = f"1999-01-01T00:00:00.{time.monotonic_ns() % 1_000_000:06}Z"
        return made

    monkeypatch.setattr(first, "_body", years_ago)
    place.acquire(first)
    renewing, cancel = _renewed(first, over), Cancel()
    Timer(4.0, cancel.set, ("enough",)).start()
    with pytest.raises(Interrupted):
        place.acquire(place.lease("ben"), cancel=cancel)
    over.set("enough")
    renewing.join()
    assert "anna@host" in place.holder()


def test_a_process_of_this_machine_that_ended_is_not_waited_for(place: Place) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    place.acquire(place.lease("anna", machine=this_machine(), pid=ended.pid, duration=600))
    assert place.acquire(place.lease("ben"), wait=False) < 2.0
    with pytest.raises(EnvironmentFault, match="ben@host"):  # the same number elsewhere says nothing
        place.acquire(place.lease("carla", pid=os.getpid()), wait=False)


def test_a_run_whose_lease_was_taken_over_is_told(place: Place) -> None:
    first, lost = place.lease("anna"), Cancel()
    with held(first, wait=True, cancel=Cancel(), say=place.said.append, lost=lost.fail, every=0.2):
        assert "anna@host" in place.holder()
        time.sleep(0.5)
        assert not lost.is_set()
        found = place.kube.get(place.path)
        assert found
        assert place.lease("ben")._try_take(found) or place.lease("ben")._try_take(place.kube.get(place.path) or {})
        assert lost.wait(5.0)
    assert lost.error
    assert "ben@host" in lost.error.message
    assert "ben@host" in place.holder(), "what another holds is not given up"


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
