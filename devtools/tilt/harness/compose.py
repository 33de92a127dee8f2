"""Docker Compose: the services of Compose files as resources."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devtools.tilt.harness import arguments, values
from devtools.tilt.harness.files import Files, decode_one_yaml
from devtools.tilt.harness.images import Build, Reference, parse_reference
from devtools.tilt.harness.values import Blob, Refused, Resource, go_type, refused_as

_VARIABLE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)(?::?-([^}]*))?[^}]*\})")


@dataclass(slots=True)
class Service:
    """One service, as a resource."""

    resource: Resource
    project: str
    references: list[Reference] = field(default_factory=list)
    context: str = ""  # the build context if Compose itself builds it
    builds: list[Build] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Compose:
    """The services of one evaluation."""

    files: Files
    env: Mapping[str, str]
    services: dict[str, Service] = field(default_factory=dict)
    _texts: dict[str, list[str]] = field(default_factory=dict)  # by project

    def load(self, params: Mapping[str, Any], check_name: Callable[[str], None]) -> None:
        """Record the services of these files, together with existing ones of the project."""
        items = values.items_of(params["configPaths"])
        if not items:
            raise Refused("Nothing to compose")
        texts, folder = [], str(self.files.directory())
        for index, item in enumerate(items):
            if isinstance(item, Blob):
                texts.append(item.text)
                continue
            if not isinstance(item, str):
                raise Refused(f"expected blob | path (string). Actual type: {go_type(item)}")
            path = self.files.absolute(item)
            folder = str(Path(path).parent) if index == 0 else folder
            texts.append(self.files.must_read(path))
        if params.get("env_file"):
            self.files.watch(params["env_file"])
        project = params.get("project_name") or re.sub(r"[^a-z0-9_-]", "", Path(folder).name.lower()).lstrip("_-")
        known = self._texts.setdefault(project, [])
        known += [text for text in texts if text not in known]
        profiles = params.get("profiles") or tuple(filter(None, self.env.get("COMPOSE_PROFILES", "").split(",")))
        before = {name: item for name, item in self.services.items() if item.project == project}
        self.services = {name: item for name, item in self.services.items() if item.project != project}
        bodies = dict(self._bodies(known, profiles))
        for name, body in bodies.items():
            check_name(name)
            made = self._service(project, name, body, folder)
            if unknown := [dep for dep in made.resource.resource_deps if dep not in bodies]:
                raise Refused(f'service "{name}" depends on undefined service "{unknown[0]}": invalid compose project')
            if name in before:
                deps = (*before[name].resource.resource_deps, *made.resource.resource_deps)
                made.resource = replace(before[name].resource, resource_deps=tuple(sorted(set(deps))))
            self.services[name] = made

    def _bodies(self, texts: list[str], profiles: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the services of these texts by name; later ones override earlier ones."""
        merged: dict[str, dict[str, Any]] = {}
        for text in texts:
            found = decode_one_yaml(text)
            if not isinstance(found, Mapping):
                raise Refused("top-level object must be a mapping")
            services = found.get("services") or {}
            if not isinstance(services, Mapping) or not all(
                isinstance(body or {}, Mapping) for body in services.values()
            ):
                raise Refused("services must be a mapping of mappings")
            for name, body in services.items():
                merged[name] = {**merged.get(name, {}), **(body or {})}
        for name in sorted(merged):
            own = merged[name].get("profiles") or ()
            if not own or set(own) & set(profiles) or "*" in profiles:
                if not merged[name].get("image") and not merged[name].get("build"):
                    raise Refused(
                        f'service "{name}" has neither an image nor a build context specified: invalid compose project'
                    )
                yield name, merged[name]

    def _service(self, project: str, name: str, body: Mapping[str, Any], folder: str) -> Service:
        deps = set(body.get("depends_on") or ())
        deps |= {str(link).partition(":")[0] for link in body.get("links") or ()}
        deps |= {str(link).partition(":")[0] for link in body.get("volumes_from") or ()}
        for key in ("network_mode", "ipc", "pid"):
            kind, _, other = str(body.get(key) or "").partition(":")
            deps |= {other} if kind == "service" else set()
        image = _VARIABLE.sub(self._variable, str(body.get("image") or f"{project}_{name}"))
        with refused_as(f'getting service {name}: Error parsing image name "{image}": '):
            references = [parse_reference(image)]
        resource = Resource(name=name, kind="dc", resource_deps=tuple(sorted(deps)), trigger_mode="")
        build = body.get("build")
        context = build.get("context", "") if isinstance(build, Mapping) else str(build or "")
        return Service(resource, project, references, context and values.absolute(Path(folder), context))

    def _variable(self, match: re.Match[str]) -> str:
        return match[1] or self.env.get(match[2] or match[3] or "", match[4] or "")

    def change(self, params: Mapping[str, Any], check_name: Callable[[str], None]) -> None:
        """Change a service."""
        name, new_name, image = params["name"], params.get("new_name", ""), params.get("image")
        if not name:
            raise Refused("dc_resource: `name` must not be empty")
        if image is not None and not isinstance(image, str):
            raise Refused(f"image arg must be a string; got {go_type(image)}")
        project = params.get("project_name") or ""
        service = self.services.get(name)
        if service is None or (project and service.project != project):
            names = "; ".join(key for key, item in self.services.items() if project in {"", item.project})
            raise Refused(f'no Docker Compose service found with name "{name}". Found these instead:\n\t{names}')
        if new_name:
            check_name(new_name)
            self._rename(name, new_name)
        deps = arguments.strings_of(params.get("resource_deps", ()), "dc_resource: resource_deps: ")
        made = changed(service.resource, {**params, "resource_deps": deps})
        service.resource = replace(made, name=new_name or name, resource_deps=tuple(dict.fromkeys(made.resource_deps)))
        if image is not None:
            service.references = [parse_reference(image)]

    def _rename(self, name: str, new_name: str) -> None:
        """Rename a service, also in the dependencies of others."""
        self.services = {new_name if key == name else key: item for key, item in self.services.items()}
        for item in self.services.values():
            deps = tuple(new_name if dep == name else dep for dep in item.resource.resource_deps)
            item.resource = replace(item.resource, resource_deps=deps)

    def check(self) -> None:
        """Refuse settings that Compose cannot have."""
        for service in self.services.values():
            if any(item.entrypoint for build in service.builds for item in build.tree()):
                raise Refused("docker_build/custom_build.entrypoint not supported for Docker Compose resources")


def changed(resource: Resource, change: Mapping[str, Any]) -> Resource:
    """Return a resource with the changes of k8s_resource or dc_resource."""
    auto_init = change.get("auto_init")
    return replace(
        resource,
        resource_deps=(*resource.resource_deps, *change["resource_deps"]),
        labels=tuple(sorted({*resource.labels, *change.get("labels", ())})),
        links=(*resource.links, *change.get("links", ())),
        trigger_mode=change.get("trigger_mode", resource.trigger_mode),
        auto_init=resource.auto_init if auto_init is None else auto_init,
    )
