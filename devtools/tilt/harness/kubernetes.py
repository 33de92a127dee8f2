"""Kubernetes objects: `k8s_yaml`, `filter_yaml`, `k8s_kind`, and how Tilt makes resources of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devtools.tilt.harness import values
from devtools.tilt.harness.files import Files, dump_yaml
from devtools.tilt.harness.images import Images, Reference, parse_reference
from devtools.tilt.harness.values import Blob, Refused, go_type, refused_as

UNRENDERED = "not rendered"  # the source of a blob whose objects are not known
_PODS = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"}


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One Kubernetes object."""

    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    kind: str
    api_version: str
    name: str
    own_namespace: str  # in its metadata

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Entity:
        """Return the object of this data, which has a kind."""
        metadata = _mapping(data.get("metadata"))
        name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace") or "")
        return cls(data, metadata, str(data["kind"]), str(data["apiVersion"]), name, namespace)

    @property
    def namespace(self) -> str:
        """Its namespace, "default" if it has none."""
        return self.own_namespace or "default"

    @property
    def group(self) -> str:
        """The group of its API."""
        return self.api_version.rpartition("/")[0]

    def parts(self) -> list[str]:
        """Return name, kind, namespace and group as parts of a name in Tilt's form."""
        parts = (self.name, self.kind, self.namespace, self.group or "core")
        return [part.replace("\\", "\\\\").replace(":", "\\:") for part in parts]

    def fragments(self) -> list[str]:
        """Return its names in Tilt's form, from the shortest to the one that is always unique."""
        parts = self.parts()
        return [":".join(parts[: count + 1]).lower() for count in range(len(parts))]

    def identity(self) -> str:
        """Return its full identity in Tilt's form."""
        return f"{self.name}:{self.kind}:{self.namespace}:{self.group}".lower()

    def templates(self) -> Iterator[Mapping[str, Any]]:
        """Yield the pod templates of a workload of Kubernetes's own."""
        if self.kind in _PODS:
            spec = _mapping(self.data.get("spec"))
            if self.kind == "CronJob":
                spec = _mapping(_mapping(spec.get("jobTemplate")).get("spec"))
            yield _mapping(spec.get("template"))

    def pod_specs(self) -> Iterator[Mapping[str, Any]]:
        """Yield the pods that it is or makes."""
        bodies = [self.data] if self.kind == "Pod" and self.api_version == "v1" else self.templates()
        for body in bodies:
            if isinstance(spec := body.get("spec"), Mapping):
                yield spec

    def containers(self) -> Iterator[Mapping[str, Any]]:
        """Yield the containers of its pods."""
        for spec in self.pod_specs():
            for key in ("initContainers", "containers"):
                yield from _mappings(spec.get(key))


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector of objects by their fields; an empty one matches every object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""

    def matches(self, entity: Entity) -> bool:
        """Return whether an object matches; each field is a regular expression, found anywhere in the object's."""
        pairs = (
            (self.api_version, entity.api_version),
            (self.kind, entity.kind),
            (self.name, entity.name),
            (self.namespace, entity.namespace),
        )
        return all(re.search(pattern, text, re.IGNORECASE) for pattern, text in pairs)


def selector(params: Mapping[str, Any]) -> Selector:
    """Return the selector of a call; refuse an invalid regular expression."""
    made = Selector(*(params.get(key, "") for key in ("api_version", "kind", "name", "namespace")))
    for what in ("api_version", "kind", "name", "namespace"):
        try:
            re.compile(getattr(made, what))
        except re.error as error:
            raise Refused(f"error parsing {what} regexp: {error}") from error
    return made


@dataclass(slots=True, kw_only=True)
class Objects:
    """The Kubernetes objects of one evaluation."""

    files: Files
    images: Images
    entities: list[Entity] = field(default_factory=list)  # objects that are in no resource yet
    kinds: dict[Selector, list[tuple[str, str, str]]] = field(
        default_factory=dict
    )  # the places of images: path, two fields
    unknown: bool = False  # a chart was not rendered, so the objects are not all known
    _known: dict[tuple[str, ...], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with the kinds that Tilt knows without images."""
        self.kinds |= {Selector("batch/v1", "Job"): [], Selector("batch/v1", "CronJob"): []}

    def k8s_yaml(self, params: Mapping[str, Any]) -> None:
        """Record objects: a str names a file, a blob holds contents."""
        items = values.items_of(params["yaml"])
        found = [entity for item in items for entity in self._read(item)]
        if any(isinstance(item, Blob) and item.source.startswith(UNRENDERED) for item in items):
            self.unknown = True
        elif not found and (not items or not isinstance(items[0], str) or not items[0]):
            raise Refused("Empty YAML passed to k8s_yaml")
        for entity in found:
            key = (entity.name, entity.own_namespace, entity.kind, entity.api_version)
            if key in self._known and not params.get("allow_duplicates"):
                where = f" (Namespace: {key[1]})" if key[1] else ""
                text = "Ignore this error with k8s_yaml(..., allow_duplicates=True)"
                raise Refused(f"Duplicate YAML: {entity.kind} {entity.name}{where}\n{text}")
            self._known[key] = None
        self.entities += found

    def filter_yaml(self, params: Mapping[str, Any]) -> list[Blob]:
        """Return the matching objects and the rest."""
        chosen, labels = selector(params), params.get("labels", {})
        match: list[Mapping[str, Any]] = []
        rest: list[Mapping[str, Any]] = []
        items = values.items_of(params["yaml"])
        for entity in (entity for item in items for entity in self._read(item)):
            own = _mapping(entity.metadata.get("labels"))
            fits = chosen.matches(entity) and all(own.get(key) == value for key, value in labels.items())
            (match if fits else rest).append(entity.data)
        sources = [item.source for item in items if isinstance(item, Blob)]
        unknown = next((source for source in sources if source.startswith(UNRENDERED)), "filter_yaml")
        return [Blob("---\n".join(dump_yaml(dict(item)) for item in part), unknown) for part in (match, rest)]

    def k8s_kind(self, params: Mapping[str, Any]) -> None:
        """Record that a kind is a workload, and where its images are."""
        paths, one = params.get("image_json_path", ()), params.get("image_object")
        if paths and one:
            raise Refused("Cannot specify both image_json_path and image_object")
        located = [one] if one else [(path, "", "") for path in paths]
        self._locate(selector({key: params[key] for key in ("kind", "api_version") if key in params}), located)

    def k8s_image_json_path(self, params: Mapping[str, Any]) -> None:
        """Record where the images of some objects are."""
        if not any(params.get(key) for key in ("kind", "name", "namespace")):
            raise Refused("at least one of kind, name, or namespace must be specified")
        self._locate(selector(params), [(path, "", "") for path in params["paths"]])

    def _locate(self, chosen: Selector, located: list[tuple[str, str, str]]) -> None:
        for path, _, _ in located:
            _steps_of(path)
        if located or chosen not in self.kinds:
            self.kinds[chosen] = located

    def _read(self, item: Any) -> list[Entity]:
        if isinstance(item, Blob):
            with refused_as(f"Error reading yaml from {item.source}: "):
                return parse(item.text)
        if not isinstance(item, str):
            raise Refused(f"expected path | string. Actual type: {go_type(item)}")
        return parse(self.files.must_read(self.files.absolute(item), "error reading yaml file: "))

    # --- workloads and what belongs to them

    def images_of(self, entity: Entity) -> list[Reference]:
        """Return the images of an object: of its containers, at the paths of k8s_kind, and in variables."""
        found = [_reference(item.get("image", ""), "parsing") for item in entity.containers()]
        volumes = [
            item for spec in entity.pod_specs() for item in spec.get("volumes") or () if isinstance(item, Mapping)
        ]
        sources = [_mapping(item.get("image")).get("reference") for item in volumes]
        found += [_reference(text, "parsing image volume reference") for text in sources if text]
        for chosen, located in self.kinds.items():
            for place in located if chosen.matches(entity) else ():
                found += _located(entity.data, place)
        in_env = [build for build in self.images.builds if build.in_env]
        for variable in (item for box in entity.containers() for item in _mappings(box.get("env"))):
            value = variable.get("value")
            if in_env and isinstance(value, str) and value:
                try:
                    reference = parse_reference(value)
                except Refused:
                    continue
                found += [reference for build in in_env if build.matches(reference)]
        return found

    def take_workloads(self) -> list[Entity]:
        """Remove the objects that run containers from the rest, and return them."""
        workloads = [item for item in self.entities if self._is_workload(item)]
        self.entities = [item for item in self.entities if item not in workloads]
        return workloads

    def _is_workload(self, entity: Entity) -> bool:
        with refused_as(f"finding images in {entity.name}: "):
            return any(chosen.matches(entity) for chosen in self.kinds) or bool(self.images_of(entity))

    def take_services(self, workload: Entity) -> list[Entity]:
        """Remove the Services that select a workload's pods from the rest, and return them."""
        found = [
            item for item in self.entities for template in workload.templates() if _selects(item, template, workload)
        ]
        self.entities = [item for item in self.entities if item not in found]
        return found


def unique_names(workloads: Sequence[Entity]) -> list[str]:
    """Return each workload's shortest unique name."""
    counts: dict[str, int] = {}
    for workload in workloads:
        for name in workload.fragments():
            counts[name] = counts.get(name, 0) + 1
    made = []
    for index, workload in enumerate(workloads):
        names = workload.fragments()
        made.append(next((name for name in names if counts[name] == 1), f"{names[-1]}:{index}"))
    return made


def parse(text: str) -> list[Entity]:
    """Return the objects of a YAML stream, including the items of each List."""
    from devtools.base.machine_yaml import read_documents

    try:
        found = list(read_documents(text))
    except ValueError as error:
        raise Refused(f"not YAML: {error}") from error
    return [entity for item in found if item is not None for entity in _entities(item)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in (value if isinstance(value, list) else ()) if isinstance(item, Mapping))


def _entities(item: Any) -> Iterator[Entity]:
    if not isinstance(item, Mapping):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(item), "number")
        fields = ('APIVersion string "json:\\"apiVersion,omitempty\\""', 'Kind string "json:\\"kind,omitempty\\""')
        text = f"json: cannot unmarshal {kind} into Go value of type struct {{ {'; '.join(fields)} }}"
        raise Refused(f"couldn't get version/kind; json parse error: {text}")
    if not item.get("kind"):
        raise Refused(f"Object 'Kind' is missing in '{json.dumps(item, separators=(',', ':'))}'")
    if not item.get("apiVersion"):
        name = _mapping(item.get("metadata")).get("name", "")
        body = json.dumps(item, separators=(",", ":"))
        raise Refused(f"decoding {item['kind']} \"{name}\": Object 'apiVersion' is missing in '{body}'")
    if item["kind"] == "List":
        inner_items = item.get("items")
        for inner in inner_items if isinstance(inner_items, list) else ():
            yield from _entities(inner)
    else:
        yield Entity.of(item)


def _selects(service: Entity, template: Mapping[str, Any], workload: Entity) -> bool:
    """Return whether a Service selects the pods of a template, in its namespace."""
    if service.kind != "Service" or service.group:
        return False
    selected = _mapping(_mapping(service.data.get("spec")).get("selector"))
    labels = _mapping(_mapping(template.get("metadata")).get("labels"))
    same = not service.own_namespace or service.namespace == workload.namespace
    return bool(selected) and same and all(labels.get(key) == value for key, value in selected.items())


def _reference(text: Any, what: str) -> Reference:
    with refused_as(f"{what} {text}: "):
        return parse_reference(str(text))


def _steps_of(path: str) -> list[str]:
    """Return the steps of a JSONPath of fields and indices."""
    inner = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if path.count("{") != path.count("}"):
        raise Refused(f"{path}: unclosed action")
    return [step for step in re.split(r"\.|(?=\[)", inner) if step]


def _located(data: Any, place: tuple[str, str, str]) -> list[Reference]:
    path, repository, tag = place
    found = [data]
    for step in _steps_of(path):
        name = step.strip("[]'\"")
        inner: list[Any] = []
        for item in found:
            if isinstance(item, Mapping) and name in item:
                inner.append(item[name])
            elif name == "*":
                inner += item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else []
            elif isinstance(item, list) and name.isdigit() and int(name) < len(item):
                inner.append(item[int(name)])
        found = inner
    if repository:
        found = [
            f"{item[repository]}:{item[tag]}" for item in found if isinstance(item, Mapping) and repository in item
        ]
    return [_reference(item, "parsing") for item in found if isinstance(item, str)]


def short_names(entities: Iterable[Entity]) -> tuple[str, ...]:
    """Return `kind/name` of each object."""
    return tuple(f"{entity.kind.lower()}/{entity.name}" for entity in entities)


def full_names(entities: Iterable[Entity]) -> str:
    """Return the objects in Tilt's list form."""
    return ", ".join(json.dumps(":".join(entity.parts()[:3])) for entity in entities)
