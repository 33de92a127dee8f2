"""Rules for the order of Applications: RollingSync steps, sync waves, and the controller settings they need."""

from __future__ import annotations

from collections.abc import Iterator

from devtools.gitops.tree.applications import SYNC_WAVE, steps_of
from devtools.gitops.tree.read import KubeObject, mapping, sequence
from devtools.gitops.verify.applications import Generated, World
from devtools.gitops.verify.finding import Finding, finding

_HEALTH = "resource.customizations.health.argoproj.io_Application"
_PROGRESSIVE = "applicationsetcontroller.enable.progressive.syncs"


def findings(world: World) -> Iterator[Finding]:
    """Yield all findings about the order of Applications."""
    for made in world.sets:
        yield from _steps(made)
        yield from _manual(made.item)
    yield from _progressive(world)
    yield from _waves(world)
    yield from _annotations(world)


def _steps(made: Generated) -> Iterator[Finding]:
    steps = steps_of(made.item.spec) or []
    if not steps:
        return
    base = ("spec", "strategy", "rollingSync", "steps")
    for number, step in enumerate(steps):
        for index, one in enumerate(sequence(step, "matchExpressions")):
            for place, value in enumerate(sequence(one, "values")):
                if not isinstance(value, str):
                    where = made.item.at(*base, number, "matchExpressions", index, "values", place)
                    yield finding("unquoted-wave", where, f"a step compares labels with {value!r}, which is not text")
    for application in made.applications:
        found = application.steps()
        labels = ", ".join(f"{key}={value}" for key, value in sorted(application.labels.items())) or "no labels"
        where = application.at("metadata", "labels")
        if application.parameters and application.parameters.document:
            where = application.parameters.document.at(("wave",))
        if not found:
            yield finding("step-missing", where, f"Application {application.name} ({labels}) is in no step")
        elif len(found) > 1:
            names = " and ".join(str(number + 1) for number in found)
            yield finding("step-twice", where, f"Application {application.name} is in steps {names}")


def _manual(item: KubeObject) -> Iterator[Finding]:
    steps = steps_of(item.spec)
    policy = mapping(item.spec, "template", "spec", "syncPolicy")
    patch = str(item.spec.get("templatePatch") or "")
    if not steps or "automated" in policy or "automated:" in patch:
        return
    for number, step in enumerate(steps):
        if step.get("maxUpdate") not in (0, "0%"):  # Argo CD treats the text "0" as an error, and updates one
            where = item.at("spec", "strategy", "rollingSync", "steps", number)
            message = f"step {number + 1} of {item.name} syncs by itself, though its Applications are manual"
            yield finding("manual-rolling-sync", where, message)


def _progressive(world: World) -> Iterator[Finding]:
    """Check the controller's parameters, if the tree has them; otherwise only the cluster has them."""
    names = [made.item.name for made in world.sets if steps_of(made.item.spec)]
    for parameters in world.tree.of("ConfigMap", ""):
        value = mapping(parameters.data, "data").get(_PROGRESSIVE)
        if names and parameters.name == "argocd-cmd-params-cm" and str(value).lower() != "true":
            where = parameters.at("data", _PROGRESSIVE)
            yield finding("progressive-syncs-off", where, f"{', '.join(names)} have RollingSync steps")


def _waves(world: World) -> Iterator[Finding]:
    """Check that Argo CD knows the health of Applications, without which waves do not wait for each other."""
    waves = {str(one.annotations.get(SYNC_WAVE, "0")) for one in world.applications if not one.generated}
    if len(waves) < 2:  # noqa: PLR2004 - one wave orders nothing
        return
    settings = [item for item in world.tree.of("ConfigMap", "") if item.name == "argocd-cm"]
    if any(_HEALTH in mapping(item.data, "data") for item in settings):
        return
    first = next(one for one in world.applications if not one.generated and SYNC_WAVE in one.annotations)
    where = settings[0].at("data") if settings else first.at("metadata", "annotations", SYNC_WAVE)
    message = f"{len(waves)} waves of Applications, but no health check of Applications in an argocd-cm of this tree"
    yield finding("application-health-missing", where, message)


def _annotations(world: World) -> Iterator[Finding]:
    for item in world.tree.objects:
        value = item.annotations.get(SYNC_WAVE)
        if value is not None and not isinstance(value, str):
            where = item.at("metadata", "annotations", SYNC_WAVE)
            yield finding("unquoted-wave", where, f"{SYNC_WAVE} is the number {value}")
