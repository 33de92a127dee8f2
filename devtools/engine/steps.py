"""Carries out each kind of step for one release."""

from __future__ import annotations

from devtools.base.words import shortened
from devtools.engine.helm_steps import HelmSteps
from devtools.engine.outcome import StepResult
from devtools.engine.remediation import Remediation
from devtools.errors import DevtoolsError
from devtools.events import ContractChecked, Outcome, Verdict
from devtools.helm.labels import AFTER_DUE
from devtools.model import Action, ObjectRef, Plan, Release, Step, Sweep
from devtools.readiness.contracts import Contracts
from devtools.readiness.wait import Failure, Wait, wait_ready
from devtools.releases.cleanup import remove_crds, remove_namespaces
from devtools.releases.facts import mark_ready, scoped
from devtools.releases.recovery import newest
from devtools.releases.render_diff import rerendered
from devtools.run_context.session import Session


class Steps:
    """Carries out steps; raises DevtoolsError if one fails."""

    def __init__(self, session: Session, plan: Plan) -> None:
        """For the steps of one plan; `close` must be called after the last step."""
        self._session = session
        self._stack = plan.stack.name  # marks releases as this stack's
        self._must_exist = plan.stack.must_exist()
        self._helm = HelmSteps(session, plan)
        self._remediation = Remediation(session, self._helm)
        self._contracts = Contracts(
            session.observer,
            simulated=session.real_node is not None,
            real_node=session.real_node or "",
        )

    def sync(self, step: Step) -> StepResult:
        """Run the commands of `before`, then sync; if that fails, do what `on_failure` says."""
        release = step.release
        self._helm.prestart(step)
        self._helm.hooks(release, release.before)
        if release.on_failure == "keep":
            return self._sync(step)
        revision = newest(self._session.kube, release.id)
        try:
            return self._sync(step)
        except DevtoolsError as error:
            raise self._remediation.undo(step, revision, error) from error

    def _sync(self, step: Step) -> StepResult:
        """Sync one release, wait for it, check its contract, run `after`, and record it as ready."""
        release, session = step.release, self._session
        deployed = self._helm.upgrade(step)
        session.observer.renew()
        objects = tuple(scoped(session.kube, ref) for ref in deployed.objects)
        wait = session.wait_for(release)
        if release.wait:
            wait_ready(session.observer, objects, wait)
        if any(ref.kind == "CustomResourceDefinition" for ref in objects):
            session.kube.discover()  # only once they are established
        self._check_contracts(release, wait)
        if step.action is Action.UPGRADE and (fields := rerendered(session.kube, release.id, deployed.revision)):
            session.warn(release, f"rendered differently from the same inputs: {fields}")
        if release.after:
            mark_ready(session.kube, release.id, deployed.revision, AFTER_DUE, objects)
            self._helm.hooks(release, release.after)
        mark_ready(session.kube, release.id, deployed.revision, step.digest, objects)
        outcome = Outcome.INSTALLED if step.action is Action.INSTALL else Outcome.UPGRADED
        return self._done(outcome, deployed.revision, objects)

    def close(self) -> None:
        """End the processes that were started for steps whose turn never came."""
        self._helm.close()

    def _done(self, outcome: Outcome, revision: int, objects: tuple[ObjectRef, ...]) -> StepResult:
        """Return how a step succeeded, and which objects only a simulator reported as ready."""
        simulated = self._contracts.simulated_pods(objects)
        return StepResult(outcome=outcome, revision=revision, objects=objects, simulated_pods=simulated)

    def confirm(self, step: Step, objects: tuple[ObjectRef, ...]) -> StepResult:
        """Check the contract of an unchanged release; raise Failure if the release is not deployed."""
        if step.action is Action.INSTALL:
            raise Failure(f"cannot be tested: {step.reason}", hint=f"invoke layer {step.release.layer}")
        if self._session.test:
            self._check_contracts(step.release, self._session.wait_for(step.release))
        return self._done(Outcome.UNCHANGED, step.revision, objects)

    def uninstall(self, step: Step) -> StepResult:
        """Remove a release except for its CRDs, and wait until its objects are gone.

        Their pods may still be terminating then; only the removal of a namespace waits for them.
        """
        session, reason = self._session, ""
        if step.sweep is Sweep.NAMESPACES:
            wait = session.wait_for(step.release)
            reason = shortened(remove_namespaces(session, self._stack, wait, self._must_exist)) or "none"
        elif step.sweep is Sweep.CRDS:
            reason = shortened(remove_crds(session, self._stack, session.wait_for(step.release), force=step.force))
        else:
            self._helm.uninstall(step)
        return StepResult(outcome=Outcome.UNINSTALLED, revision=0, reason=reason)

    def _check_contracts(self, release: Release, wait: Wait) -> None:
        """Wait for each contract and emit its verdict; raise Failure for the first one that failed."""
        broken: list[str] = []
        details: tuple[str, ...] = ()
        for contract in release.contract:
            own = self._session.wait_for(release, contract.timeout) if contract.timeout else wait
            checked = self._contracts.wait_for(contract, release.namespace, own)
            self._session.bus.emit(
                ContractChecked(
                    release=str(release.id),
                    layer=release.layer,
                    contract=str(contract),
                    verdict=checked.verdict,
                    value=checked.value,
                    reason=checked.reason,
                )
            )
            if checked.verdict is Verdict.FAILED:
                broken.append(f"contract {contract}: {checked.reason}")
                details = details or checked.details
        if broken:
            raise Failure(broken[0], details=(*broken[1:], *details))
