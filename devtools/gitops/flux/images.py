"""Image automation: Flux scans registries, chooses tags, and commits them where a comment marks the field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from devtools.config.settings_file.gitops import ImageUpdate
from devtools.gitops.component import Component, Note
from devtools.gitops.flux.environment import Environment
from devtools.gitops.flux.objects import IMAGE, INTERVAL, NAMESPACE, flux_object

_AUTHOR = {"name": "fluxcdbot", "email": "fluxcdbot@users.noreply.github.com"}
_MESSAGE = """\
Update images of {{ .AutomationObject }}

{{ range .Changed.Changes }}{{ .OldValue }} -> {{ .NewValue }}
{{ end }}"""


def image_objects(environment: Environment) -> tuple[list[dict[str, Any]], tuple[Note, ...]]:
    """Return the objects of an environment's image automation, and a note for each field without its marker."""
    updates = [(item, component) for item in _updates(environment) if (component := _component(environment, item))]
    notes: list[Note] = []
    objects: list[dict[str, Any]] = []
    for item, component in updates:
        name = policy_name(item, component)
        objects += [_repository(environment, name, item.image), _policy(name, item)]
        notes += _marker_notes(environment, component, item, name)
    if updates:
        objects.append(_automation(environment))
    return objects, tuple(notes)


def _updates(environment: Environment) -> Iterable[ImageUpdate]:
    automatic = environment.environment.sync == "auto"
    for item in environment.settings.images:
        if environment.environment.name in item.environments or (automatic and not item.environments):
            yield item


def _component(environment: Environment, item: ImageUpdate) -> Component | None:
    named = [component for component in environment.components if component.release.name == item.release]
    return named[0] if named else None


def policy_name(item: ImageUpdate, component: Component) -> str:
    """Return the name of an image's repository and policy."""
    image = item.image.rpartition("/")[2].replace("_", "-").replace(".", "-").lower()
    return f"{component.name}-{image}"


def marker(name: str) -> str:
    """Return the comment that marks a tag for an ImagePolicy."""
    return f'# {{"$imagepolicy": "{NAMESPACE}:{name}:tag"}}'


def _repository(environment: Environment, name: str, image: str) -> dict[str, Any]:
    secret = environment.settings.credentials.get(image)
    fields = {"secretRef": {"name": secret}} if secret else {}
    return flux_object(IMAGE, "ImageRepository", name, {"image": image, "interval": INTERVAL, **fields})


def _policy(name: str, item: ImageUpdate) -> dict[str, Any]:
    spec: dict[str, Any] = {"imageRepositoryRef": {"name": name}}
    if item.semver:
        spec["policy"] = {"semver": {"range": item.semver}}
    else:
        spec["filterTags"] = {"pattern": item.pattern, "extract": "$order"}
        spec["policy"] = {"numerical": {"order": "asc"}}
    return flux_object(IMAGE, "ImagePolicy", name, spec)


def _automation(environment: Environment) -> dict[str, Any]:
    """Return the automation that commits to the followed branch, or to a review branch for a manual environment."""
    name = environment.environment.name
    branch = environment.revision
    push = branch if environment.environment.sync == "auto" else f"image-updates-{name}"
    path = environment.options.place.root / "environments" / name
    git = {
        "checkout": {"ref": {"branch": branch}},
        "commit": {"author": _AUTHOR, "messageTemplate": _MESSAGE},
        "push": {"branch": push},
    }
    spec = {
        "interval": INTERVAL,
        "sourceRef": {"kind": "GitRepository", "name": environment.stack},
        "git": git,
        "update": {"path": f"./{path}", "strategy": "Setters"},
    }
    return flux_object(IMAGE, "ImageUpdateAutomation", f"{environment.stack}-{name}", spec)


def _marker_notes(environment: Environment, component: Component, item: ImageUpdate, name: str) -> Iterable[Note]:
    """Yield how to mark the tag, if no overlay of the environment does."""
    own = [file for file in component.value_files if environment.environment.name in file.path.parts]
    comment = marker(name)
    if any(comment.removeprefix("# ").encode() in (file.original or b"") for file in own):
        return
    place = environment.options.place
    where = place.root / f"environments/{environment.environment.name}/{component.layer}/{component.release.name}.yaml"
    message = f"{where}: the tag at {item.value} of image {item.image} needs the comment {comment}"
    yield Note(component=f"{component.environment}/{component.release}", message=message)
