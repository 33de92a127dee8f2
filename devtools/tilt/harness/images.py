"""Images that Tilt builds: references, `docker_build`, `custom_build`, and the rules of `live_update`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devtools.tilt.harness import arguments, values
from devtools.tilt.harness.files import Files
from devtools.tilt.harness.values import LIVE_UPDATE_STEPS, Image, Refused, Step, kind_of, refused_as, shown

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    r"(?P<domain>(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*"
    rf"[a-zA-Z0-9]))*(?::[0-9]+)?)/(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_INSTRUCTION = re.compile(r"\s*(ARG|FROM|COPY)\s+(.*)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference, with Docker's defaults filled in."""

    name: str
    tag: str = ""
    digest: str = ""

    @property
    def familiar(self) -> str:
        """The reference as usually written, without Docker's defaults."""
        name = self.name.removeprefix("docker.io/").removeprefix("library/")
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Parse a reference; raise Refused."""
    domain, _, rest = text.partition("/")
    if not rest or not (re.search(r"[.:A-Z]", domain) or domain == "localhost"):
        domain, rest = "docker.io", text
    if domain in {"docker.io", "index.docker.io"}:
        domain, rest = "docker.io", rest if "/" in rest else f"library/{rest}"
    remote = re.split(r"[:@]" if "@" in rest else ":", rest, maxsplit=1)[0]
    if remote != remote.lower():
        raise Refused(f"invalid reference format: repository name ({remote}) must be lowercase")
    match = _NAME.fullmatch(f"{domain}/{rest}")
    if match is None or not text:
        raise Refused("invalid reference format")
    return Reference(f"{domain}/{match['path']}", match["tag"] or "", match["digest"] or "")


@dataclass(slots=True)
class Build:
    """One image to build."""

    image: Image
    reference: Reference
    exact: bool  # whether it is only for this tag
    in_env: bool = False
    contents: str = ""  # of the Dockerfile
    build_args: Mapping[str, str] = field(default_factory=dict)
    image_deps: tuple[Reference, ...] = ()
    entrypoint: bool = False
    bases: list[Build] = field(default_factory=list)  # builds that this one is based on
    used: bool = False

    def matches(self, reference: Reference) -> bool:
        """Return whether a container with this reference runs the image built here."""
        return reference == self.reference if self.exact else reference.name == self.reference.name

    def tree(self) -> Iterator[Build]:
        """This build and those that it is based on."""
        yield self
        for base in self.bases:
            yield from base.tree()

    def watched(self) -> tuple[str, ...]:
        """Paths whose change triggers a build, those of its bases included."""
        images = [build.image for build in self.tree()]
        return tuple(path for image in images for path in (image.deps if image.command else (image.context,)))


@dataclass(slots=True)
class Images:
    """The images of one evaluation."""

    files: Files
    warn: Callable[[str], None]
    builds: list[Build] = field(default_factory=list)
    steps: dict[int, tuple[str, Step]] = field(default_factory=dict)  # every step by identity, and its place
    _unused: dict[str, Step] = field(default_factory=dict)  # by place

    def docker_build(self, params: Mapping[str, Any]) -> None:
        """Record an image that Docker builds."""
        reference = _argument(params["ref"])
        contents, path = params.get("dockerfile_contents"), params.get("dockerfile")
        if contents is not None and path is not None:
            raise Refused("Cannot specify both dockerfile and dockerfile_contents keyword arguments")
        where = path or f"{params['context']}/Dockerfile"
        if contents is None:
            contents = self.files.must_read(where, "error reading dockerfile: ")
        elif values.text_of(contents) is None:
            raise Refused("Argument (dockerfile_contents): must be string or blob.")
        if params.get("cache") is not None:
            text = "You should switch to live_update to optimize your builds."
            self.warn(f"docker_build(cache=...) is obsolete, and currently a no-op.\n{text}")
        image = Image(ref=params["ref"], context=params["context"], dockerfile=where, **self._shared(params))
        for only in image.only:
            if "*" in only:
                raise Refused(f"'only' does not support '*' file globs. Must be a real path: {only}")
        for tag in params.get("extra_tag", ()):
            with refused_as(f"Argument extra_tag={json.dumps(tag)} not a valid image reference: "):
                parse_reference(tag)
        build_args = params.get("build_args", {})
        self.add(self._build(params, image, reference, contents=shown(contents), build_args=build_args))

    def custom_build(self, params: Mapping[str, Any]) -> Step:
        """Record an image that a command builds."""
        reference = _argument(params["ref"])
        shared = self._shared(params)
        with refused_as("Argument 2 (command): "):
            command = arguments.command_of(params["command"])
            arguments.directory_of(params.get("dir"))
        if not command:
            raise Refused("Argument 2 (command) can't be empty")
        if params.get("tag") and params.get("outputs_image_ref_to"):
            raise Refused("Cannot specify both tag= and outputs_image_ref_to=")
        with refused_as('custom_build: for parameter "image_deps": must be a valid image reference: '):
            deps = tuple(map(parse_reference, params.get("image_deps", ())))
        image = Image(ref=params["ref"], command=command, deps=params["deps"], **shared)
        self.add(self._build(params, image, reference, image_deps=deps))
        return Step(kind="custom_build", values={"ref": params["ref"]})

    def _shared(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Check the arguments of both kinds of builds."""
        with refused_as("live_update: "):
            live_update = self.live_update(params.get("live_update"))
        only = arguments.plain_strings(params.get("only"), "only")
        ignore = arguments.plain_strings(params.get("ignore"), "ignore")
        if "entrypoint" in params:
            arguments.command_of(params["entrypoint"])
        with refused_as("Argument 'container_args': "):
            arguments.strings_of(params.get("container_args", ()))
        return {"live_update": live_update, "only": only, "ignore": ignore}

    def _build(self, params: Mapping[str, Any], image: Image, reference: Reference, **more: Any) -> Build:
        in_env = params.get("match_in_env_vars", False)
        return Build(image, reference, bool(reference.tag), in_env, entrypoint=bool(params.get("entrypoint")), **more)

    def add(self, build: Build) -> None:
        """Record a build; refuse a second one of the same reference."""
        for other in self.builds:
            if other.reference == build.reference:
                name = json.dumps(build.reference.familiar)
                raise Refused(f"Image for ref {name} has already been defined")
        for other in self.builds:
            if other.reference.name == build.reference.name:  # of two tags, each matches only itself
                other.exact = build.exact = True
        self.builds.append(build)

    # --- live_update

    def note_step(self, place: str, step: Step) -> None:
        """Record a step; a step that no live_update uses is an error when the Tiltfile ends."""
        self.steps[id(step)] = (place, step)
        self._unused[place] = step

    def live_update(self, params: Any) -> tuple[Step, ...]:
        """Check the steps of a live_update and their order."""
        steps = values.items_of(params)
        done: set[str] = set()
        for step in steps:
            if not isinstance(step, Step) or step.kind not in LIVE_UPDATE_STEPS:
                what = f"got value '{values.printed(step)}' of type '{kind_of(step)}'"
                raise Refused(f"'steps' must be a list of live update steps - {what}")
            _check_order(step.kind, done)
            done.add(step.kind)
            if id(step) in self.steps:
                self._unused.pop(self.steps[id(step)][0], None)
        _check_steps(steps)
        return tuple(steps)

    def check_steps_used(self) -> None:
        """Refuse steps that no live_update used."""
        if self._unused:
            rows = [
                f"{place.partition('#')[0]}: value '{shown(step)}' of type '{kind_of(step)}'"
                for place, step in self._unused.items()
            ]
            count = f"found {len(rows)} live_update steps that were created but not used in a live_update:"
            raise Refused(count + "\n" + "\n\t".join(rows))

    def check_paths(self, deployed: Sequence[Build]) -> None:
        """Refuse steps about files that no build watches."""
        for build in deployed:
            watched = build.watched()
            for step in build.image.live_update:
                paths = [step.values["local_path"]] if step.kind == "sync" else step.values.get("paths", ())
                what = "sync step source" if step.kind == "sync" else "fall_back_on paths"
                for path in paths if step.kind in {"sync", "fall_back_on"} else ():
                    if not any(_within(path, parent) for parent in watched):
                        text = f"is not a child of any watched filepaths ([{' '.join(watched)}])"
                        raise Refused(f"{what} '{path}' {text}")

    # --- which image is built for what

    def find(self, reference: Reference) -> Build | None:
        """Return the build of an image that a container runs, and record its use."""
        for build in self.builds:
            if build.matches(reference):
                build.used = True
                return build
        return None

    def warn_of_unused(self, allowed: Sequence[str], config: str, *, unresourced: bool) -> None:
        """Warn about the first image that nothing deploys, as Tilt does; `config` names what deploys other images."""
        unused = [build.reference.familiar for build in self.builds if not build.used]
        unused = [name for name in unused if name not in allowed and "*" not in allowed]
        if not unused:
            return
        if not config and not unresourced:
            self.warn(
                "We could not find any deployment instructions, e.g. `k8s_yaml` or `docker_compose`.\n"
                "Skipping all image builds until we know how to deploy them."
            )
        elif not config:
            self.warn(
                "No Kubernetes configs with images found.\n"
                "If you are using CRDs, add k8s_kind() to tell Tilt how to find images.\n"
                "https://docs.tilt.dev/api.html#api.k8s_kind"
            )
        else:
            self.warn(
                f"Image not used in any {config} config:\n    ✕ {unused[0]}\nSkipping this image build\n"
                "If this is deliberate, suppress this warning with: "
                f"update_settings(suppress_unused_image_warnings=[{json.dumps(unused[0])}])"
            )

    def assemble(self) -> None:
        """Find the base images of each image."""
        for build in self.builds:
            for reference in base_images(build.contents, build.build_args):
                if (base := self.find(reference)) is not None and base is not build:
                    build.bases.append(base)
            for reference in build.image_deps:
                if (base := self.find(reference)) is None:
                    names = (json.dumps(build.reference.familiar), json.dumps(reference.familiar))
                    raise Refused(f"image {names[0]}: image dep {names[1]} not found")
                build.bases.append(base)


def check_restarts(builds: Mapping[str, Sequence[Build]]) -> None:
    """Refuse restart_container() in Kubernetes resources; `builds` are those of each resource."""
    steps = {
        name: {step.kind for item in found for build in item.tree() for step in build.image.live_update}
        for name, found in builds.items()
    }
    names = [name for name, kinds in steps.items() if "restart_container" in kinds]
    if names:
        raise Refused(
            f"Found `restart_container()` LiveUpdate step in resource(s): [{', '.join(names)}]. "
            "`restart_container()`  has been deprecated for k8s resources. We recommend the restart_process "
            "extension: https://github.com/tilt-dev/tilt-extensions/tree/master/restart_process. For more "
            "information, see https://docs.tilt.dev/live_update_reference.html#restarting-your-process"
        )


def check_cycle(name: str, build: Build, above: tuple[int, ...] = ()) -> None:
    """Refuse an image that is based on itself."""
    if id(build) in above:
        tag = f":{build.reference.tag}" if build.reference.tag else ""
        raise Refused(f"getting image build info for {name}: Image dependency cycle: {build.reference.name}{tag}")
    for base in build.bases:
        check_cycle(name, base, (*above, id(build)))


def _argument(text: str) -> Reference:
    with refused_as(f"Argument 1 (ref): can't parse {json.dumps(text)}: "):
        return parse_reference(text)


def _check_order(kind: str, done: set[str]) -> None:
    """Refuse a step that comes after steps of a later kind."""
    if kind == "initial_sync" and done:
        raise Refused("initial_sync must appear at most once, at the start of the list")
    if kind == "fall_back_on" and done - {"initial_sync", "fall_back_on"}:
        raise Refused("fall_back_on steps must appear at the start of the list")
    if kind in {"sync", "run"} and "restart_container" in done:
        raise Refused("restart container is only valid as the last step")
    if kind == "sync" and "run" in done:
        raise Refused("all sync steps must precede all run steps")


def _check_steps(steps: Sequence[Step]) -> None:
    """Refuse a live_update that does nothing, or that copies to a relative path."""
    if not steps:
        return
    wrong = []
    syncs = [step for step in steps if step.kind == "sync"]
    if not syncs and not any(step.kind == "run" for step in steps):
        wrong.append("spec.syncs: Invalid value: null: must contain at least 1 sync or 1 exec to run on live update")
    for index, step in enumerate(syncs):
        if not (path := step.values["remote_path"]).startswith("/"):
            wrong.append(f"spec.syncs[{index}]: Invalid value: {json.dumps(path)}: sync destination is not absolute")
    if wrong:
        raise Refused(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def base_images(dockerfile: str, build_args: Mapping[str, str]) -> Iterator[Reference]:
    """Yield every image that a Dockerfile starts from or copies from, with its ARGs filled in."""
    args: dict[str, str] = {}
    for line in re.sub(r"\\\r?\n", " ", dockerfile).splitlines():
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        word, rest = match[1].upper(), match[2].split()
        if word == "ARG":
            for item in rest:
                name, _, value = item.partition("=")
                args.setdefault(name, value.strip("\"'"))
            continue
        flags = [item for item in rest if item.startswith("--")]
        froms = [item.removeprefix("--from=") for item in flags if item.startswith("--from=")]
        found = froms if word == "COPY" else [item for item in rest if not item.startswith("--")][:1]
        for text in found:
            filled = _VARIABLE.sub(lambda held: _value(held, {**args, **build_args}), text)
            try:
                yield parse_reference(filled)
            except Refused:
                continue


def _value(match: re.Match[str], args: Mapping[str, str]) -> str:
    return args.get(match[1] or match[3]) or match[2] or ""
