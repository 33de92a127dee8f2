"""Tilt's functions that make resources, as recorders; they take and refuse what Tilt's do.

Sources: Tilt's API reference and internal/tiltfile (local_resource.go, k8s.go, docker.go) of 0.37.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from devtools.tilt.harness import values
from devtools.tilt.harness.results import Image, Resource, Step, in_order
from devtools.tilt.harness.validation import bool_of, documents, forwards_of, images_in, known_only, links_of, shared_of
from devtools.tilt.harness.values import Blob, Refused

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod")
Mode = Literal["auto", "manual"]


@dataclass(slots=True, kw_only=True)
class Recorder:
    """What one evaluation made so far."""

    directory: Callable[[], Path]  # of the file that is being executed
    watch: Callable[[str], None]
    resources: dict[str, Resource] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    manifests: list[Mapping[str, Any]] = field(default_factory=list)
    opaque: bool = False  # some chart or kustomization was not rendered: which objects there are is not known
    mode: Mode = "auto"
    changes: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)  # of k8s_resource, applied at the end
    warnings: list[str] = field(default_factory=list)

    def local_resource(  # noqa: PLR0913, PLR0917 - Tilt's signature
        self,
        name: Any,
        cmd: Any = None,
        deps: Any = None,
        trigger_mode: Any = None,
        resource_deps: Any = None,
        ignore: Any = None,
        auto_init: bool = True,  # noqa: FBT001, FBT002
        serve_cmd: Any = None,
        cmd_bat: Any = None,
        serve_cmd_bat: Any = None,
        allow_parallel: bool = False,  # noqa: FBT001, FBT002
        links: Any = None,
        labels: Any = None,
        env: Any = None,
        serve_env: Any = None,
        readiness_probe: Any = None,
        dir: Any = "",  # noqa: A002
        serve_dir: Any = "",
    ) -> None:
        """Record a command on the developer's machine."""
        name = values.check_name(values.text_of(name, "name"))
        if name in self.resources:
            raise Refused(f"local resource {name} has been defined multiple times")
        values.texts_of(ignore, "ignore", one=True)
        values.command_of(cmd_bat, "cmd_bat")
        values.command_of(serve_cmd_bat, "serve_cmd_bat")
        values.env_of(serve_env, "serve_env")
        values.text_of(serve_dir, "serve_dir")
        update, serve = values.command_of(cmd, "cmd"), values.command_of(serve_cmd, "serve_cmd")
        if not update and not serve:
            raise Refused("local_resource must have a cmd and/or a serve_cmd, but both were empty")
        if readiness_probe is not None and not isinstance(readiness_probe, Step):
            raise Refused(f"readiness_probe: got {values.kind_of(readiness_probe)}, want probe")
        self.resources[name] = Resource(
            name=name,
            kind="local",
            cmd=update,
            serve_cmd=serve,
            deps=self._paths(deps, "deps"),
            resource_deps=values.texts_of(resource_deps, "resource_deps"),
            labels=values.labels_of(labels),
            env=values.env_of(env, "env"),
            dir=values.absolute(self.directory(), values.text_of(dir, "dir")),
            trigger_mode=self.mode_of(trigger_mode),
            auto_init=bool_of(auto_init, "auto_init"),
            allow_parallel=bool_of(allow_parallel, "allow_parallel"),
            links=links_of(links),
        )

    def k8s_yaml(self, yaml: Any, allow_duplicates: bool = False) -> None:  # noqa: FBT001, FBT002
        """Record objects: of files where given a str, of contents where given a blob."""
        for item in yaml if isinstance(yaml, list | tuple) else [yaml]:
            if isinstance(item, Blob):
                self._objects(item.text, allow_duplicates=allow_duplicates)
                continue
            path = Path(values.absolute(self.directory(), values.text_of(item, "k8s_yaml")))
            self.watch(str(path))
            if not path.is_file():
                raise Refused(f"error reading yaml file: {path}: no such file (contents must be a blob)")
            self._objects(path.read_text(encoding="utf-8"), allow_duplicates=allow_duplicates)

    def k8s_resource(  # noqa: PLR0913, PLR0917 - Tilt's signature
        self,
        workload: Any = "",
        new_name: Any = "",
        port_forwards: Any = None,
        extra_pod_selectors: Any = None,
        trigger_mode: Any = None,
        resource_deps: Any = None,
        objects: Any = None,
        auto_init: bool = True,  # noqa: FBT001, FBT002
        pod_readiness: Any = "",
        links: Any = None,
        labels: Any = None,
        discovery_strategy: Any = "",
    ) -> None:
        """Configure a workload, or make a resource of objects that are none; applied when the Tiltfile ends."""
        if not isinstance(extra_pod_selectors, dict | list | None):
            raise Refused(f"extra_pod_selectors: got {values.kind_of(extra_pod_selectors)}, want dict or list of dicts")
        if pod_readiness not in {"", "ignore", "wait"}:
            raise Refused(f"invalid pod_readiness {pod_readiness!r}: 'ignore' or 'wait'")
        if discovery_strategy not in {"", "default", "selectors-only"}:
            raise Refused(f"invalid discovery_strategy {discovery_strategy!r}: 'default' or 'selectors-only'")
        workload, new_name = values.text_of(workload, "workload"), values.text_of(new_name, "new_name")
        chosen = values.texts_of(objects, "objects", one=True)
        if not workload and not (new_name and chosen):
            raise Refused("k8s_resource needs workload, or both objects and new_name")
        if new_name:
            values.check_name(new_name)
        self.changes.append(
            (
                workload,
                {
                    "name": new_name or workload,
                    "resource_deps": values.texts_of(resource_deps, "resource_deps"),
                    "labels": values.labels_of(labels),
                    "trigger_mode": self.mode_of(trigger_mode),
                    "auto_init": bool_of(auto_init, "auto_init"),
                    "links": links_of(links),
                    "port_forwards": forwards_of(port_forwards),
                    "objects": chosen,
                },
            )
        )

    def docker_build(self, ref: Any, context: Any, build_args: Any = None, dockerfile: Any = "", **more: Any) -> None:
        """Record an image that Tilt builds with Docker."""
        known = (
            "dockerfile_contents live_update match_in_env_vars ignore only entrypoint target ssh network secret "
            "extra_tag container_args cache_from pull platform extra_hosts"
        )
        known_only(more, known)
        values.env_of(build_args, "build_args")
        if dockerfile and more.get("dockerfile_contents"):
            raise Refused("cannot specify both dockerfile and dockerfile_contents keyword arguments")
        context = values.absolute(self.directory(), values.text_of(context, "context"))
        file = values.text_of(dockerfile, "dockerfile")
        where = values.absolute(self.directory(), file) if file else f"{context}/Dockerfile"
        if not more.get("dockerfile_contents"):
            self.watch(where)
            if not Path(where).is_file():
                raise Refused(f"error reading dockerfile: {where}: no such file")
        self._image(Image(ref=values.text_of(ref, "ref"), context=context, dockerfile=where, **shared_of(more)))

    def custom_build(self, ref: Any, command: Any, deps: Any, tag: Any = "", **more: Any) -> None:
        """Record an image that a command builds."""
        known = (
            "disable_push skips_local_docker live_update match_in_env_vars ignore entrypoint command_bat_val "
            "outputs_image_ref_to command_bat image_deps env dir"
        )
        known_only(more, known)
        values.env_of(more.get("env"), "env")
        values.text_of(tag, "tag")
        built = Image(
            ref=values.text_of(ref, "ref"),
            command=values.command_of(command, "command"),
            deps=self._paths(deps, "deps"),
            **shared_of(more),
        )
        self._image(built)

    def k8s_custom_deploy(self, name: Any, apply_cmd: Any, delete_cmd: Any, deps: Any, **more: Any) -> None:
        """Record a deployment by commands."""
        known = (
            "image_selector live_update apply_dir apply_env apply_cmd_bat delete_dir delete_env delete_cmd_bat "
            "container_selector image_deps"
        )
        known_only(more, known)
        values.command_of(delete_cmd, "delete_cmd")
        self._workload(
            values.text_of(name, "name"),
            cmd=values.command_of(apply_cmd, "apply_cmd"),
            deps=self._paths(deps, "deps"),
            env=values.env_of(more.get("apply_env"), "apply_env"),
            images=values.texts_of(more.get("image_deps"), "image_deps"),
        )

    def finish(self) -> None:
        """What Tilt does when the Tiltfile ends: configure workloads, drop unknown dependencies, refuse cycles."""
        for workload, change in self.changes:
            self._configure(workload, change)
        self.resources = {name: replace(item, images=self._built(item)) for name, item in self.resources.items()}
        for resource in list(self.resources.values()):
            known = tuple(dep for dep in dict.fromkeys(resource.resource_deps) if dep in self.resources)
            for dep in resource.resource_deps:
                if dep not in self.resources:
                    text = f"resource {resource.name} specified a dependency on unknown resource {dep}"
                    self.warnings.append(f"{text} - dependency ignored")
            self.resources[resource.name] = replace(resource, resource_deps=known)
        used = {ref for resource in self.resources.values() for ref in resource.images}
        if not self.opaque:
            self.warnings += [
                f"image not used in any Kubernetes config: {ref}" for ref in self.images if ref not in used
            ]
        ordered = set(in_order({name: item.resource_deps for name, item in self.resources.items()}))
        if stuck := [name for name in self.resources if name not in ordered]:
            raise Refused(f"cycle in resource dependency graph: {', '.join(stuck)}")

    def _built(self, resource: Resource) -> tuple[str, ...]:
        """The images of its containers that Tilt builds; a tag does not matter."""
        held = {ref.partition(":")[0] for ref in resource.images}
        return tuple(ref for ref in self.images if ref.partition(":")[0] in held)

    def _configure(self, workload: str, change: Mapping[str, Any]) -> None:
        """Apply one k8s_resource."""
        found = self.resources.get(workload or change["name"])
        if found is None and workload and not self.opaque:
            there = ", ".join(name for name, item in self.resources.items() if item.kind == "k8s") or "none"
            raise Refused(f"k8s_resource specified unknown resource {workload!r}; Kubernetes resources: {there}")
        if found is not None and found.kind == "local":
            raise Refused(f"k8s_resource: {found.name!r} is a local resource")
        base = found or Resource(name=change["name"], kind="k8s")
        merged: dict[str, Any] = dict(change)
        for key in ("resource_deps", "labels", "links", "port_forwards", "objects"):
            merged[key] = tuple(dict.fromkeys((*getattr(base, key), *change[key])))
        name = change["name"]
        if name != base.name:
            values.check_name(name)
            if name in self.resources:
                raise Refused(f"k8s_resource: there is a resource named {name!r} already")
        # In its old place, under its new name.
        made = replace(base, **merged)
        self.resources = {
            (name if key == base.name else key): (made if key == base.name else item)
            for key, item in {**self.resources, base.name: base}.items()
        }

    def _objects(self, text: str, *, allow_duplicates: bool) -> None:
        """Kubernetes objects; each workload is a resource."""
        for item in documents(text):
            kind, name = str(item.get("kind", "")), str((item.get("metadata") or {}).get("name", ""))
            if item in self.manifests and not allow_duplicates:
                raise Refused(f"duplicate YAML: {kind}/{name} (allow_duplicates=True lets it be)")
            self.manifests.append(item)
            if kind in WORKLOADS:
                self._workload(name, objects=(f"{kind.lower()}/{name}",), images=tuple(images_in(item)))

    def _workload(self, name: str, **what: Any) -> None:
        if name in self.resources:
            raise Refused(f"there is a resource named {name!r} already")
        self.resources[values.check_name(name)] = Resource(name=name, kind="k8s", trigger_mode=self.mode, **what)

    def _image(self, image: Image) -> None:
        if image.ref in self.images:
            raise Refused(f"image for ref {image.ref!r} has already been defined")
        self.images[image.ref] = image

    def _paths(self, value: Any, what: str) -> tuple[str, ...]:
        return tuple(values.absolute(self.directory(), path) for path in values.texts_of(value, what, one=True))

    def mode_of(self, value: Any) -> Mode:
        """TRIGGER_MODE_AUTO or TRIGGER_MODE_MANUAL; without either, what trigger_mode() has set."""
        if value is None:
            return self.mode
        if not isinstance(value, Step) or value.kind not in {"auto", "manual"}:
            raise Refused(f"trigger_mode: got {values.kind_of(value)}, want TRIGGER_MODE_AUTO or TRIGGER_MODE_MANUAL")
        return "auto" if value.kind == "auto" else "manual"
