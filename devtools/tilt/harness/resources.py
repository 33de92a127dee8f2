"""Tilt's functions that make resources, and how Tilt assembles them when the Tiltfile ends.

The rules are those of Tilt's sources (internal/tiltfile: local_resource.go, k8s.go, docker_compose.go,
tiltfile_state.go) of 0.37.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from devtools.planning.graph import back_edges
from devtools.tilt.harness import arguments, commands, values
from devtools.tilt.harness.compose import Compose, changed
from devtools.tilt.harness.files import Files
from devtools.tilt.harness.images import Build, Images, Reference, check_cycle, check_restarts, parse_reference
from devtools.tilt.harness.kubernetes import Entity, Objects, full_names, short_names, unique_names
from devtools.tilt.harness.values import Image, Refused, Resource, Step, go_type, refused_as

Mode = Literal["auto", "manual"]

_PARTS = 3  # of an object's name, kind and namespace


@dataclass(slots=True)
class Workload:
    """A Kubernetes resource while it is being assembled."""

    resource: Resource
    entities: list[Entity] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    required: list[Reference] = field(default_factory=list)  # images that must be built here
    custom: bool = False  # deployed by commands
    builds: list[Build] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Recorder:
    """The resources of one evaluation."""

    files: Files
    warn: Callable[[str], None]
    objects: Objects
    images: Images
    compose: Compose
    workloads: dict[str, Workload] = field(default_factory=dict)
    local: dict[str, Resource] = field(default_factory=dict)
    mode: Mode = "auto"
    name_of: Callable[[Entity], Any] | None = None  # workload_to_resource_function
    _mode_set_at: str = ""
    _changes: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)  # of k8s_resource: place, arguments

    def local_resource(self, params: Mapping[str, Any], *, parallel: bool = False) -> None:
        """Record a command on the developer's machine."""
        name = params["name"]
        deps = arguments.strings_of(params.get("resource_deps", ()), "local_resource: resource_deps: ")
        arguments.plain_strings(params.get("ignore"), "ignore")
        update, serve = (arguments.command_of(params[key]) if key in params else () for key in ("cmd", "serve_cmd"))
        for env in (params.get("env", {}), params.get("serve_env", {})):
            if "" in env:
                raise Refused(f"environment has empty key for value {json.dumps(env[''])}")
        arguments.directory_of(params.get("serve_dir"))
        commands.check_directories(params, update, serve)
        if not update and not serve:
            raise Refused("local_resource must have a cmd and/or a serve_cmd, but both were empty")
        if params.get("readiness_probe") and not serve:
            self.warn(f'Ignoring readiness probe for local resource "{name}" (no serve_cmd was defined)')
        self.check_name(name)
        self.local[name] = Resource(
            name=name,
            kind="local",
            cmd=update,
            serve_cmd=serve,
            deps=params.get("deps", ()),
            resource_deps=deps,
            labels=params.get("labels", ()),
            env=params.get("env", {}),
            dir=self.files.absolute(arguments.directory_of(params.get("dir"))),
            trigger_mode=params.get("trigger_mode", ""),
            auto_init=params.get("auto_init", True),
            allow_parallel=params.get("allow_parallel", parallel) or not update,
            links=params.get("links", ()),
        )

    def test(self, params: Mapping[str, Any]) -> None:
        """Record `test`, a deprecated local_resource."""
        text = "Change this call to use `local_resource(..., allow_parallel=True)`"
        self.warn(f"test() is deprecated and will be removed in a future release.\n{text}")
        self.local_resource(params, parallel=True)

    def k8s_resource(self, place: str, params: Mapping[str, Any]) -> None:
        """Record a change of a workload, or a resource of other objects; applied when the Tiltfile ends."""
        workload, new_name = params.get("workload", ""), params.get("new_name", "")
        name = workload or new_name
        if not name:
            text = "Must give a name for an existing resource or a new_name to create a new resource."
            raise Refused(f"Resource name missing. {text}")
        with refused_as(f'k8s_resource "{name}": '):
            forwards = commands.port_forwards(params.get("port_forwards"))
        commands.check_selectors(params.get("extra_pod_selectors"))
        deps = arguments.strings_of(params.get("resource_deps", ()), "k8s_resource: resource_deps: ")
        objects = arguments.strings_of(params.get("objects", ()), "k8s_resource: resource_deps: ")
        if not workload and not objects:
            text = "All non-workload resources must specify 1 or more objects"
            raise Refused(f"k8s_resource doesn't specify a workload or any objects. {text}")
        checked = {
            "name": name,
            "grouped": not workload,
            "port_forwards": forwards,
            "resource_deps": deps,
            "objects": objects,
        }
        self._changes.append((place, {**params, **checked}))

    def k8s_custom_deploy(self, params: Mapping[str, Any]) -> None:
        """Record a deployment by commands."""
        name = params["name"]
        commands = {}
        for what in ("apply_cmd", "delete_cmd"):
            with refused_as(f"{what}: "):
                arguments.directory_of(params.get(f"{what.removesuffix('_cmd')}_dir"))
                commands[what] = arguments.command_of(params[what])
            if not commands[what]:
                raise Refused(f"k8s_custom_deploy: {what} cannot be empty")
        with refused_as("live_update: "):
            steps = self.images.live_update(params.get("live_update"))
        with refused_as(f"error making resource for {name}: "):
            workload = self._workload(name)
        workload.custom = True
        workload.resource = replace(
            workload.resource, cmd=commands["apply_cmd"], deps=params["deps"], env=params.get("apply_env", {})
        )
        workload.required = [parse_reference(item) for item in params.get("image_deps", ())]
        workload.references += workload.required
        if steps:
            self._update_only(workload, params, steps)

    def _update_only(self, workload: Workload, params: Mapping[str, Any], steps: tuple[Step, ...]) -> None:
        """Record the image that carries the live_update of a custom deployment."""
        chosen = [key for key in ("image_selector", "container_selector") if params.get(key)]
        if not chosen:
            raise Refused("k8s_custom_deploy: no Live Update selector specified")
        if len(chosen) > 1:
            raise Refused("k8s_custom_deploy: cannot specify more than one Live Update selector")
        text = params["image_selector"] if chosen[0] == "image_selector" else f"k8s_custom_deploy:{params['name']}"
        with refused_as(f"can't parse {json.dumps(text)}: "):
            reference = parse_reference(text)
        image = Image(ref=text, command=":", deps=params["deps"], live_update=steps)
        workload.references.append(reference)
        self.images.add(Build(image, reference, bool(reference.tag)))

    def trigger_mode(self, place: str, params: Mapping[str, Any]) -> None:
        """Set the mode of every resource that does not set one."""
        if self._mode_set_at:
            raise Refused(f"trigger_mode can only be called once. It was already called at {self._mode_set_at}")
        self.mode, self._mode_set_at = params["trigger_mode"], place

    def docker_compose(self, params: Mapping[str, Any]) -> None:
        """Record the services of Compose files."""
        self.compose.load(params, self.check_name)

    def dc_resource(self, params: Mapping[str, Any]) -> None:
        """Change a service."""
        self.compose.change(params, self.check_name)

    # --- when the Tiltfile ends, in Tilt's order

    def finish(self, check_context: Callable[[], None], unused_allowed: Sequence[str]) -> tuple[Resource, ...]:
        """Return the resources; raise Refused if Tilt refuses the Tiltfile."""
        self.images.assemble()
        self._assemble()
        for service in self.compose.services.values():
            service.builds = self._builds(service.references)
            if service.context and not service.builds:
                reference = service.references[0]
                image = Image(ref=reference.familiar, context=service.context)
                service.builds = [Build(image, reference, bool(reference.tag), used=True)]
        config = "Docker Compose" if self.compose.services else "Kubernetes" if self.workloads else ""
        if not self.objects.unknown:
            self.images.warn_of_unused(unused_allowed, config, unresourced=bool(self.objects.entities))
        builds = {item.resource.name: item.builds for item in self.workloads.values()}
        builds |= {item.resource.name: item.builds for item in self.compose.services.values()}
        for name, found in builds.items():
            for build in found:
                check_cycle(name, build)
        if self.workloads or self.objects.entities or self.objects.unknown:
            check_restarts({item.resource.name: item.builds for item in self.workloads.values()})
            check_context()
        self.compose.check()
        self.images.check_paths([build for found in builds.values() for build in found])
        self.images.check_steps_used()
        made = [
            *(self._finished(item) for item in self.workloads.values()),
            *(self._moded(item.resource, item.builds) for item in self.compose.services.values()),
            *(self._moded(item) for item in self.local.values()),
        ]
        if self.objects.entities:
            objects = short_names(self.objects.entities)
            made.append(Resource(name=values.UNCATEGORIZED, kind="k8s", objects=objects))
        return self._with_known_dependencies(made)

    def _assemble(self) -> None:
        """Make a resource of each workload, with its Services, and apply every k8s_resource."""
        workloads = self.objects.take_workloads()
        for name, entity in zip(self._workload_names(workloads), workloads, strict=True):
            with refused_as(f"error making resource for workload {entity.identity()}: "):
                workload = self._workload(name)
            workload.entities += [entity, *self.objects.take_services(entity)]
            workload.references += [item for one in workload.entities for item in self.objects.images_of(one)]
        for entity in [item for item in self.objects.entities if [*item.templates()]]:
            self.objects.entities.remove(entity)
            workload = self.workloads.get(entity.name) or self._workload(entity.name)
            workload.entities += [entity, *self.objects.take_services(entity)]
        everything = [*(item for one in self.workloads.values() for item in one.entities), *self.objects.entities]
        for place, change in self._changes:
            self._configure(place, change, everything)
        for workload in self.workloads.values():
            self._check_workload(workload)

    def _workload_names(self, workloads: Sequence[Entity]) -> list[str]:
        if self.name_of is None:
            return unique_names(workloads)
        names: dict[str, Entity] = {}
        for entity in workloads:
            name = self.name_of(entity)
            if not isinstance(name, str):
                raise Refused(
                    f"workload_to_resource_function: invalid return value. wanted: string. got: {go_type(name)}"
                )
            if name in names:
                pair = [item.identity() for item in (entity, names[name])]
                text = f"both '{pair[0]}' and '{pair[1]}' mapped to resource name '{name}'"
                raise Refused(f"error applying workload_to_resource_function: {text}")
            names[name] = entity
        return list(names)

    def _workload(self, name: str) -> Workload:
        self.check_name(name)
        self.workloads[name] = Workload(Resource(name=name, kind="k8s", trigger_mode=""))
        return self.workloads[name]

    def _configure(self, place: str, change: Mapping[str, Any], everything: Sequence[Entity]) -> None:
        name, new_name = change["name"], change.get("new_name", "")
        if change["grouped"]:
            self._workload(name)
        elif name not in self.workloads:
            if not self.objects.unknown:
                known = ", ".join(self.workloads)
                raise Refused(
                    f'{place}: k8s_resource specified unknown resource "{name}". known k8s resources: {known}'
                )
            self._workload(name)
        workload = self.workloads[name]
        forwards = (*workload.resource.port_forwards, *change["port_forwards"])
        workload.resource = replace(changed(workload.resource, change), port_forwards=forwards)
        if new_name and new_name != name:
            with refused_as(f'{place}: k8s_resource specified to rename "{name}" to "{new_name}": '):
                self.check_name(new_name)
            workload.resource = replace(workload.resource, name=new_name)
            self.workloads = {new_name if key == name else key: item for key, item in self.workloads.items()}
        for fragment in change["objects"]:
            self._attach(fragment, workload, everything)

    def _attach(self, fragment: str, workload: Workload, everything: Sequence[Entity]) -> None:
        """Give an object to a workload."""
        if not fragment:
            raise Refused('Error making selector from string "": selector can\'t be empty')
        if (parts := len(re.findall(r"(?<!\\):", fragment)) + 1) > _PARTS:
            text = f"Selectors must contain between 1 and 3 parts (colon separated), found {parts} parts in {fragment}"
            raise Refused(f'Error making selector from string "{fragment}": Too many parts in selector. {text}')
        found = [entity for entity in everything if fragment.lower() in entity.fragments()]
        quoted = json.dumps(fragment)
        if not found and self.objects.unknown:
            workload.resource = replace(workload.resource, objects=(*workload.resource.objects, fragment))
            return
        if not found:
            text = f"Possible objects are: {full_names(everything)}"
            raise Refused(f"No object identified by the fragment {quoted} could be found. {text}")
        if len(found) > 1:
            raise Refused(f"{quoted} is not a unique fragment. Objects that match {quoted} are {full_names(found)}")
        if found[0] not in self.objects.entities:
            rest = f"Valid remaining fragments are: {full_names(self.objects.entities)}"
            raise Refused(f"No object identified by the fragment {quoted} could be found in remaining YAML. {rest}")
        self.objects.entities.remove(found[0])
        workload.entities.append(found[0])

    def _check_workload(self, workload: Workload) -> None:
        name = workload.resource.name
        if not workload.entities and not workload.custom and not self.objects.unknown:
            text = "could not associate any k8s_yaml() or k8s_custom_deploy() with this resource"
            raise Refused(f'resource "{name}": {text}')
        workload.builds = self._builds(workload.references)
        for reference in workload.required:
            if self.images.find(reference) is None:
                raise Refused(f'resource "{name}": image build "{reference.familiar}" not found')

    def _builds(self, references: Iterable[Reference]) -> list[Build]:
        found = (self.images.find(reference) for reference in references)
        return list({id(build): build for build in found if build is not None}.values())

    def _finished(self, workload: Workload) -> Resource:
        names = (*short_names(workload.entities), *workload.resource.objects)
        return self._moded(replace(workload.resource, objects=names), workload.builds)

    def _moded(self, resource: Resource, builds: Sequence[Build] = ()) -> Resource:
        """Return a resource with its mode and its images."""
        refs = dict.fromkeys(item.image.ref for build in builds for item in build.tree())
        return replace(resource, trigger_mode=resource.trigger_mode or self.mode, images=tuple(refs))

    def _with_known_dependencies(self, made: Sequence[Resource]) -> tuple[Resource, ...]:
        """Drop unknown dependencies with a warning; refuse cycles, and names that no resource can have."""
        names = {resource.name for resource in made}
        done = []
        for resource in made:
            if resource.name in resource.resource_deps:
                raise Refused(f"resource {resource.name} specified a dependency on itself")
            for dep in resource.resource_deps:
                if dep not in names:
                    text = f"resource {resource.name} specified a dependency on unknown resource {dep}"
                    self.warn(f"{text} - dependency ignored")
            deps = tuple(dep for dep in resource.resource_deps if dep in names)
            done.append(replace(resource, resource_deps=deps))
        graph = {resource.name: resource.resource_deps for resource in done}
        if cycle := next(back_edges(graph), None):
            raise Refused(f"cycle detected in resource dependency graph: {' -> '.join(cycle)}")
        for name in graph:
            if not name:
                raise Refused("[validate] manifest missing name")
            arguments.check_path_segment(name)
        return tuple(done)

    def check_name(self, name: str) -> None:
        """Refuse a name that another resource has."""
        for kind, named in (
            ("k8s_resource", self.workloads),
            ("local_resource", self.local),
            ("dc_resource", self.compose.services),
        ):
            if name in named:
                raise Refused(f'{kind} named "{name}" already exists')
