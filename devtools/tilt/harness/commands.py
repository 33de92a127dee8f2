"""Tilt's functions that would run a command, the check of the context, and functions that only make a value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.tilt.harness import arguments, values
from devtools.tilt.harness.files import Files, dump_yaml
from devtools.tilt.harness.kubernetes import UNRENDERED, parse
from devtools.tilt.harness.values import Blob, Refused, Step, go_type, kind_of, shown

Local = Callable[[tuple[str, ...] | str], str]
Render = Callable[[Step], str]

AUTO, MANUAL = Step(kind="auto"), Step(kind="manual")
STEPS = ("link", "port_forward", "probe", "exec_action", "http_get_action", "tcp_socket_action")
"""Functions that only make a value."""

_SEPARATOR = "---\n"
_CHART_TEST = re.compile("^# Source: .*/tests/", re.MULTILINE)
# Contexts that Tilt considers local, by the naming of the tools that make them.
_LOCAL = re.compile(
    r"(kind|k3d|colima)(-.*)?|minikube.*|docker-desktop|docker-for-desktop|microk8s.*|rancher-desktop"
    r"|orbstack|crc-.*|krucible-.*|.*/api-crc-testing.*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The caller's description of the machine."""

    args: tuple[str, ...]
    env: Mapping[str, str]
    context: str
    namespace: str
    subcommand: str
    root: Path
    local: Local | None
    render: Render | None
    extensions: Mapping[str, Path]


def step(name: str) -> Callable[[Mapping[str, Any]], Step]:
    """Return a function that makes a value from its arguments."""

    def make(params: Mapping[str, Any]) -> Step:
        fields = dict(params)
        if name == "link":
            fields["url"] = values.url_of(params["url"])
        if name == "probe" and sum(params.get(key) is not None for key in ("exec", "http_get", "tcp_socket")) != 1:
            raise Refused("exactly one of exec, http_get, or tcp_socket must be specified")
        return Step(kind=name, values=fields)

    return make


def live_update_step(name: str, params: Mapping[str, Any], files: Files) -> Step:
    """Return one step of a live_update."""
    fields = dict(params)
    if name == "sync":
        fields["local_path"] = files.absolute(params["local_path"])
    if name == "run":
        fields["cmd"] = arguments.command_of(params["cmd"])
        wrong = f"run cmd '{shown(fields['cmd'])}' triggers contained value"
        fields["trigger"] = arguments.all_strings(
            values.items_of(params.get("trigger")),
            lambda item: f"{wrong} '{shown(item)}' of type '{kind_of(item)}'. it may only contain strings",
        )
    return Step(kind=name, values=fields)


@dataclass(slots=True, kw_only=True)
class Commands:
    """The commands of one evaluation; only the caller's `local` and `render` run anything."""

    files: Files
    local: Local | None
    render: Render | None
    context: str
    ran: list[tuple[str, ...] | str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def run_local(self, params: Mapping[str, Any]) -> Blob:
        """`local`: refused on a context that Tilt does not consider a developer's."""
        if not self._is_allowed():
            raise Refused(
                f"Refusing to run 'local' because {self.context} might be a production kube context.\n"
                f"If you're sure you want to continue add:\n\tallow_k8s_contexts('{self.context}')\n"
                "before this function call in your Tiltfile. Otherwise, switch k8s contexts and restart Tilt."
            )
        argv = arguments.command_of(params["command"])
        self.ran.append(argv)
        if self.local is None:
            raise Refused("the harness runs nothing: give it local=, a function from a command to its output")
        try:
            return Blob(self.local(argv), "local")
        except Exception as error:
            raise Refused(
                f"command {shown(argv if isinstance(argv, str) else list(argv))} failed.\nerror: {error}"
            ) from error

    def check_context(self) -> None:
        """Refuse to use a context that may be production."""
        if not self._is_allowed():
            raise Refused(
                f"Stop! {self.context} might be production.\nIf you're sure you want to deploy there, add:\n"
                f"\tallow_k8s_contexts('{self.context}')\n"
                "to your Tiltfile. Otherwise, switch k8s contexts and restart Tilt."
            )

    def _is_allowed(self) -> bool:
        return not self.context or self.context in self.allowed or _LOCAL.fullmatch(self.context) is not None

    def allow_k8s_contexts(self, params: Mapping[str, Any]) -> None:
        """Allow further contexts."""
        wrong = "allow_k8s_contexts contexts must be a string or a sequence of strings; found a "
        self.allowed += arguments.all_strings(values.items_of(params["contexts"]), lambda item: wrong + go_type(item))

    def helm(self, params: Mapping[str, Any]) -> Blob:
        """`helm template` of a chart directory; its directory and values files are watched."""
        chart = params["paths"]
        if not self.files.exists(chart):
            raise Refused(f'Could not read Helm chart directory "{chart}": does not exist')
        if not Path(chart).is_dir():
            raise Refused(f'helm() may only be called on directories with Chart.yaml: "{chart}"')
        files = tuple(self.files.absolute(item) for item in params.get("values", ()))
        for path in (chart, *files):
            self.files.watch(path)
        namespace = params.get("namespace", "")
        call = {
            "chart": chart,
            "name": params.get("name") or "chart",
            "namespace": namespace,
            "values": files,
            "set": params.get("set", ()),
            "kube_version": params.get("kube_version", ""),
            "skip_crds": params.get("skip_crds", False),
        }
        blob = self._rendered(Step(kind="helm", values=call), f"helm: {chart}")
        return _prepared(blob, namespace) if self.render is not None else blob

    def kustomize(self, params: Mapping[str, Any]) -> Blob:
        """`kustomize build` of a directory."""
        path = params["paths"]
        self.files.watch(path)
        call = {"path": path, "kustomize_bin": params.get("kustomize_bin"), "flags": params.get("flags", ())}
        return self._rendered(Step(kind="kustomize", values=call), f"kustomize: {path}")

    def _rendered(self, call: Step, source: str) -> Blob:
        if self.render is None:
            return Blob("", f"{UNRENDERED}: {source}")
        try:
            return Blob(self.render(call), source)
        except Exception as error:
            raise Refused(f"{call.kind} failed.\nerror: {error}") from error

    def local_git_repo(self, params: Mapping[str, Any]) -> str:
        """Return the path of a Git work tree."""
        path = self.files.absolute(params["paths"])
        if not self.files.exists(path):
            raise Refused(f"Reading paths {path}: stat {path}: no such file or directory")
        if not self.files.exists(f"{path}/.git"):
            raise Refused(f"{path} isn't a valid git repo: it doesn't have a .git/ directory")
        return path


def _prepared(blob: Blob, namespace: str) -> Blob:
    """Return a chart's objects without those from its `tests` directory, in the namespace of the call."""
    parts = [part for part in blob.text.split(_SEPARATOR) if not _CHART_TEST.search(part)]
    text = _SEPARATOR.join(parts)
    if namespace:
        found = [{**entity.data, "metadata": {"namespace": namespace, **entity.metadata}} for entity in parse(text)]
        text = _SEPARATOR.join(map(dump_yaml, found))
    return Blob(text, blob.source)


# --- checks of arguments

_LAST_PORT = 65535
_HOST = re.compile(
    r"(?:(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){3}(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
    r"|(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
)


def port_forwards(value: Any) -> tuple[str, ...]:
    """Return port forwards as text: of int, of `host:local:container` and of port_forward()."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | str | list | tuple | dict | Step)):
        raise Refused(f"port_forwards must be an int, a port_forward, or a sequence of those; is a {go_type(value)}")
    return tuple(_forward(item, value) for item in values.items_of(value))


def _forward(item: Any, everything: Any) -> str:
    if isinstance(item, Step) and item.kind == "port_forward":
        fields = item.values
        container = fields.get("container_port", 0)
        if fields.get("host"):
            return f"{fields['host']}:{fields['local_port']}:{container}"
        return f"{fields['local_port']}:{container}" if container else str(fields["local_port"])
    if isinstance(item, int) and not isinstance(item, bool):
        if not 0 <= item <= _LAST_PORT:
            raise Refused(f"portForward port value {item} is not in the valid range [0-65535]")
        return str(item)
    if not isinstance(item, str):
        text = f"includes element {shown(item)} which must be an int or a port_forward; is a {go_type(item)}"
        raise Refused(f"port_forwards arg {shown(everything)} {text}")
    parts = item.split(":", 2)
    if item.count(":") > 1 and not _HOST.fullmatch(parts[0]):
        raise Refused(f"portForward host value {json.dumps(parts[1])} is not a valid hostname or IP address")
    for part in parts[-2:]:
        if not re.fullmatch(r"[+-]?[0-9]+", part) or not 0 <= int(part) <= _LAST_PORT:
            raise Refused(f"portForward port value {json.dumps(part)} is not in the valid range [0-65535]")
    return item


def check_selectors(value: Any) -> None:
    """Refuse a value that is neither a dict of labels nor a list of those."""
    if value is None:
        return
    if not isinstance(value, dict | list):
        raise Refused(f"pod labels must be a dict or a list; got {go_type(value)}")
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise Refused(f"pod labels elements must be dicts; got {go_type(item)}")
        for what, part in [("keys", key) for key in item] + [("values", text) for text in item.values()]:
            if not isinstance(part, str):
                raise Refused(f"pod label {what} must be strings; got '{shown(part)}' of type {go_type(part)}")


def check_directories(params: Mapping[str, Any], update: Any, serve: Any) -> None:
    """Refuse a directory without its command."""
    if params.get("dir", None) is not None and not update:
        if serve:
            text = "'dir' only affects 'cmd', not 'serve_cmd'. Did you mean to use 'serve_dir' instead?"
            raise Refused(f"local_resource: {text}")
        raise Refused("local_resource: 'dir' specified but 'cmd' is empty")
    if params.get("serve_dir", None) is not None and not serve:
        raise Refused("local_resource: 'serve_dir' specified but 'serve_cmd' is empty")
