"""Applies `on_failure` of the layer file to a release whose sync failed."""

from __future__ import annotations

from collections.abc import Sequence

from devtools.engine.helm_steps import HelmSteps
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted
from devtools.helm.labels import LABEL_DIGEST
from devtools.helm.ownership import Origin, origin_of_newest, revision_of
from devtools.model import Action, Step
from devtools.readiness.wait import Failure, wait_ready
from devtools.releases.facts import mark_ready, objects_in_record, record_path
from devtools.releases.recovery import last_good, newest_state, records
from devtools.run_context.session import Session


class Remediation:
    """Undoes failed syncs of one run."""

    def __init__(self, session: Session, helm: HelmSteps) -> None:
        self._session = session
        self._helm = helm

    def undo(self, step: Step, revision: int, error: DevtoolsError) -> DevtoolsError:
        """Do what the layer file says, and return the sync's error with a note of what was done.

        `revision` is the newest one from before the sync. Nothing is done if the sync made no revision, or if the
        error is not about the release: an interruption, a missing cluster or tool.
        """
        session, release = self._session, step.release
        if isinstance(error, EnvironmentFault | Interrupted) or session.cancel.is_set():
            return error
        try:
            known = records(session.kube, release.id)
            made = max(map(revision_of, known), default=0)
            if made <= revision or origin_of_newest(known, session.origin) is not Origin.SAME_ORIGIN:
                return error
            if step.adopt:
                return _with(error, "adopted by this run, so nothing was undone")
            if release.on_failure == "uninstall" or step.action is Action.INSTALL:
                return self._uninstall(step, error)
            return self._roll_back(step, last_good(known, made), error)
        except DevtoolsError as second:
            details = (*getattr(second, "details", ()), *((second.hint,) if second.hint else ()))
            return _with(error, f"{release.on_failure} failed, too: {second.message}", details)

    def _uninstall(self, step: Step, error: DevtoolsError) -> DevtoolsError:
        self._session.warn(step.release, f"{error.message}: uninstalling it")
        self._helm.uninstall(step)
        return _with(error, "uninstalled")

    def _roll_back(self, step: Step, target: int, error: DevtoolsError) -> DevtoolsError:
        """Roll back to a revision (0: there is none), wait until it is ready, and only then record it as ready.

        A revision made from the inputs that failed now is not recorded: the next run must try again.
        """
        session, release = self._session, step.release
        if not target:
            return _with(error, "no earlier revision was ready, so it was not rolled back")
        session.warn(release, f"{error.message}: rolling back to revision {target}")
        with session.slots.hold(release.id):
            try:
                self._helm.roll_back(release, target)
            except Failure:
                self._forget_unfinished(step)
                raise
        session.observer.renew()
        latest = max(records(session.kube, release.id), key=revision_of)
        revision, digest = revision_of(latest), (latest.get("labels") or {}).get(LABEL_DIGEST)
        objects = objects_in_record(session.kube, release.id, revision)
        if release.wait:
            wait_ready(session.observer, objects, session.wait_for(release))
        if digest and digest != step.digest:
            mark_ready(session.kube, release.id, revision, digest, objects)
        return _with(error, f"rolled back to revision {target}")

    def _forget_unfinished(self, step: Step) -> None:
        """Delete the record of a rollback whose hook failed: helm leaves it pending and cannot finish it later."""
        known = records(self._session.kube, step.id)
        if newest_state(known) == "pending-rollback":
            self._session.kube.delete(record_path(step.id, max(map(revision_of, known))))


def _with(error: DevtoolsError, done: str, details: Sequence[str] = ()) -> DevtoolsError:
    """Return the error with a note of what was done about it."""
    known: tuple[str, ...] = getattr(error, "details", ())
    return error.changed(message=f"{error.message}; {done}", details=(*known, *details))
