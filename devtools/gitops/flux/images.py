"""Image automation: Flux scans registries, chooses tags, and commits them where a comment marks the field."""

from __future__ import annotations

from collections.abc import Iterable

from devtools.config.settings_file.gitops import ImageUpdate
from devtools.gitops.component import Component, Note, Object
from devtools.gitops.flux.environment import Environment
from devtools.gitops.flux.objects import IMAGE, INTERVAL, NAMESPACE, flux_object

_AUTHOR = {"name": "fluxcdbot", "email": "fluxcdbot@users.noreply.github.com"}
_MESSAGE = """\
Update images of {{ .AutomationObject }}

{{ range .Changed.Changes }}{{ .OldValue }} -> {{ .NewValue }}
{{ end }}"""


def image_objects(environment: Environment) -> tuple[list[Object], tuple[Note, ...]]:
    """Return the objects of an environment's image automation, and a note for each field without its marker."""
    notes: list[Note] = []
    objects: list[Object] = []
    automatic = environment.environment.sync == "auto"
    for item in environment.settings.images:
        component = next((one for one in environment.components if one.release.name == item.release), None)
        is_updated = environment.environment.name in item.environments or (automatic and not item.environments)
        if component is None or not is_updated:
            continue
        image = item.image.rpartition("/")[2].replace("_", "-").replace(".", "-").lower()
        name = f"{component.name}-{image}"
        secret = environment.settings.credentials.get(item.image)
        spec = {"image": item.image, "interval": INTERVAL, **({"secretRef": {"name": secret}} if secret else {})}
        objects += [flux_object(IMAGE, "ImageRepository", name, spec), _policy(name, item)]
        notes += _marker_notes(environment, component, item, name)
    return [*objects, *([_automation(environment)] if objects else [])], tuple(notes)


def _policy(name: str, item: ImageUpdate) -> Object:
    spec: Object = {"imageRepositoryRef": {"name": name}}
    if item.semver:
        spec["policy"] = {"semver": {"range": item.semver}}
    else:
        spec["filterTags"] = {"pattern": item.pattern, "extract": "$order"}
        spec["policy"] = {"numerical": {"order": "asc"}}
    return flux_object(IMAGE, "ImagePolicy", name, spec)


def _automation(environment: Environment) -> Object:
    """Return the automation that commits to the followed branch, or to a review branch for a manual environment."""
    name = environment.environment.name
    branch = environment.settings.revision
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
    comment = f'# {{"$imagepolicy": "{NAMESPACE}:{name}:tag"}}'
    if any(comment.removeprefix("# ").encode() in (file.original or b"") for file in own):
        return
    place = environment.options.place
    release = component.release
    where = place.root / f"environments/{component.environment}/{release.layer}/{release.name}.yaml"
    yield component.note(f"{where}: the tag at {item.value} of image {item.image} needs the comment {comment}")
