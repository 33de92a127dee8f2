"""Writes found releases as a repository: layers, overlays, charts and the chart lock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import merged, yaml_text
from devtools.base.open_file import read_source
from devtools.gitops.imports.found import Found, FoundChart, ImportNote, Key, Values
from devtools.gitops.tree.read import Tree
from devtools.gitops.verify.argocd import is_pinned

_MOST_LAYERS = 99
_PLAIN_WORDS = frozenset(
    {"charts", "chart", "helm", "www", "oci", "registry", "repo", "com", "io", "org", "net", "dev"}
)
_SHARED_HOSTS = frozenset({"github", "ghcr", "quay", "docker", "gcr", "gitlab"})


class Imported:
    """The files of the imported repository, notes, and how many releases were found."""

    def __init__(self) -> None:
        self.files: dict[PurePosixPath, bytes] = {}
        self.notes: list[ImportNote] = []
        self.refused: set[Key] = set()  # releases that are left out
        self.created: set[str] = {"default"}  # namespaces that the tree creates, or every cluster has
        self.releases = 0

    def note(self, found: Found, message: str, *, refused: bool = False) -> None:
        """Add a note about a release."""
        subject = f"release {found.namespace}/{found.name}"
        self.notes.append(ImportNote(where=found.where, subject=subject, message=message, refused=refused))


def repository_of(tree: Tree, found: Iterable[Found], name: str, url: str) -> Imported:
    """Return the repository that deploys the found releases."""
    made = Imported()
    by_key: dict[Key, dict[str, Found]] = {}
    for one in found:
        other = by_key.setdefault(one.key, {}).setdefault(one.environment, one)
        if other is not one:
            made.note(one, f"it is in {one.environment} twice: the first one is imported", refused=True)
    made.created |= {one.namespace for several in by_key.values() for one in several.values() if one.creates_namespace}
    made.created |= {item.name for item in tree.of("Namespace", "")}
    made.releases = len(by_key)
    environments = list(dict.fromkeys(env for several in by_key.values() for env in several))
    charts = _Charts(tree, made)
    pins = {key: chart for key, several in by_key.items() if (chart := charts.pin_of(several))}
    names = {key: charts.reference(chart) for key, chart in pins.items()}
    made.refused |= set(by_key) - set(names)
    layers = _layers({key: by_key[key] for key in names}, made)
    for layer, members in layers.items():
        file = PurePosixPath("layers") / f"{layer}.yaml"
        releases = [
            _release(key, names[key], _needs(key, members, by_key), by_key, environments, made) for key in members
        ]
        tier = next(iter(by_key[members[0]].values())).tier
        made.files[file] = yaml_text({"stage": tier, "tier": tier, "releases": releases}).encode()
        for key in members:
            _overlays(layer, by_key[key], made)
    charts.write()
    manual = {env: all(several[env].manual for several in by_key.values() if env in several) for env in environments}
    _settings(made, name, url, manual)
    return made


def _settings(made: Imported, name: str, url: str, manual: Mapping[str, bool]) -> None:
    """Write devtools.yaml, and a directory for each environment; `manual` names those that are synced manually."""
    exported = {env: {"sync": "manual"} if by_hand else {} for env, by_hand in manual.items()}
    settings: dict[str, Any] = {"name": name}
    if url and exported:
        settings["gitops"] = {"repository": url, "environments": exported}
    made.files[PurePosixPath("devtools.yaml")] = yaml_text(settings).encode()
    for env in ("local", *manual):
        made.files.setdefault(PurePosixPath("environments") / env / ".gitkeep", b"")


def _layers(releases: Mapping[Key, Mapping[str, Found]], made: Imported) -> dict[str, list[Key]]:
    """Return the layers in the order of positions: a layer has adjacent releases of one tier, and the tier's tests."""
    position = {key: max(one.position for one in several.values()) for key, several in releases.items()}
    tier = {key: next(iter(several.values())).tier for key, several in releases.items()}
    smoke = {key for key, several in releases.items() if any(one.is_smoke for one in several.values())}
    runs: list[tuple[str, list[Key]]] = []
    for key in sorted(releases, key=lambda key: (key in smoke, position[key], tier[key], key)):
        last = [members for name, members in runs if name == tier[key]]
        if key in smoke and last:
            last[-1].append(key)
        elif runs and runs[-1][0] == tier[key]:
            runs[-1][1].append(key)
        else:
            runs.append((tier[key], [key]))
    if len(runs) > _MOST_LAYERS:
        first = {name: min(position[key] for key in releases if tier[key] == name) for name in set(tier.values())}
        runs = [(name, [key for key in releases if tier[key] == name]) for name in sorted(first, key=first.__getitem__)]
        for several in releases.values():
            made.note(next(iter(several.values())), "tiers alternate too often: check the order of layers")
    step = 10 if len(runs) <= 9 else 1  # noqa: PLR2004 - two digits
    runs_of: dict[str, int] = {}
    layers: dict[str, list[Key]] = {}
    for number, (name, members) in enumerate(runs, 1):
        runs_of[name] = runs_of.get(name, 0) + 1
        suffix = f"-{runs_of[name]}" if runs_of[name] > 1 else ""
        layers[f"{number * step:02d}-{name}{suffix}"] = members
    return layers


def _needs(key: Key, members: Sequence[Key], releases: Mapping[Key, Mapping[str, Found]]) -> list[Key]:
    """Return a release's needs: as written, and if waves order its layer, the members of the previous wave."""
    several = releases[key]
    needs = [need for one in several.values() for need in one.needs]
    if any(one.by_wave and not one.is_smoke for one in several.values()):
        position = {one: max(item.position for item in releases[one].values()) for one in members}
        before = max((at for at in position.values() if at < position[key]), default=None)
        needs += [one for one in members if position[one] == before]
    return list(dict.fromkeys(needs))


def _release(
    key: Key,
    chart: str,
    needed: Sequence[Key],
    releases: Mapping[Key, Mapping[str, Found]],
    environments: Sequence[str],
    made: Imported,
) -> dict[str, Any]:
    several = releases[key]
    first = next(iter(several.values()))
    out: dict[str, Any] = {"name": first.name, "namespace": first.namespace, "chart": chart}
    if first.namespace not in made.created and not first.namespace.startswith("kube-"):
        out["create_namespace"] = False
    needs: list[Any] = []
    for need in needed:
        name = "/".join(need)
        if need not in releases or need in made.refused:
            made.note(first, f"its need {name} is not imported: it is left out")
        elif set(releases[need]) != set(environments):
            needs.append({"release": name, "optional": True})  # it is not in every environment
        else:
            needs.append(name)
    if needs:
        out["needs"] = needs
    if any(one.is_smoke for one in several.values()):
        out["smoke"] = True
    if len(several) < len(environments):
        out["environments"] = list(several)
    out |= first.keys
    for env, one in several.items():
        if one.keys != first.keys:
            made.note(one, f"keys of {env} differ from those of {first.environment}, which are used")
    return out


def _overlays(layer: str, several: Mapping[str, Found], made: Imported) -> None:
    """Write the values that all environments start with as shared ones, and the rest for each environment."""
    lists = [one.values for one in several.values()]
    shared = 0
    while len(several) > 1 and all(len(values) > shared for values in lists):
        first = lists[0][shared]
        if not first.raw or any(values[shared].raw != first.raw for values in lists):
            break
        shared += 1
    one = next(iter(several.values()))
    name = f"{one.name}.yaml"
    _write(made, one, PurePosixPath("environments/_shared") / layer / name, one.values[:shared])
    for env, found in several.items():
        _write(made, found, PurePosixPath("environments") / env / layer / name, found.values[shared:])


def _write(made: Imported, found: Found, path: PurePosixPath, values: Sequence[Values]) -> None:
    """Write one overlay: a single file unchanged, several merged as Helm does."""
    if not values:
        return
    if len(values) == 1 and values[0].raw and not (found.is_smoke and "hooks" in values[0].data):
        made.files[path] = values[0].raw
        return
    if any(one.encrypted for one in values):
        made.note(found, f"an encrypted value file cannot be merged with others into {path}", refused=True)
        return
    data: dict[str, Any] = reduce(merged, (one.data for one in values), {})
    if found.is_smoke and data.pop("hooks", None) is not None:
        made.note(found, "it is a smoke release: `hooks`, which makes hooks of Argo CD of its tests, is left out")
    if not data:
        return
    names = ", ".join(one.path or "inline values" for one in values)
    made.files[path] = yaml_text(json.loads(json.dumps(data))).encode()
    if len(values) > 1:
        made.note(found, f"{path} is merged from {names}: comments are lost")


class _Charts:
    """Names charts as in layer files, copies those of the repository, and pins the others in the lock."""

    def __init__(self, tree: Tree, made: Imported) -> None:
        self._tree, self._made = tree, made
        self._pinned: dict[str, FoundChart] = {}
        self._copied: dict[str, FoundChart] = {}  # by name in layer files

    def pin_of(self, several: Mapping[str, Found]) -> str:
        """Return the chart of a release, with its version if the lock pins it; empty if it cannot be imported."""
        first = next(iter(several.values()))
        chart = first.chart
        for env, one in several.items():
            if one.chart != chart:
                what = f"deploys {one.chart.path}: {chart.path}" if one.chart.path else ""
                what = what or f"has chart version {one.chart.version}: {chart.version}"
                self._made.note(one, f"{env} {what} is used", refused=bool(one.chart.path))
        if chart.path:
            return self._copy(chart)
        if not is_pinned(chart.version):
            message = f"chart {chart.name} is not pinned ({chart.version or 'no version'}): pin an exact version first"
            self._made.note(first, message, refused=True)
            return ""
        owner = publisher(chart.repository)
        if any(one.repository != chart.repository for one in self._versions(f"{owner}/{chart.name}")):
            owner = f"{owner}-{re.sub(r'[^a-z0-9]+', '-', chart.version.lower())}"
            self._made.note(first, f"chart {chart.name} is pinned twice: this one is {owner}/{chart.name}")
        version = chart.version.removeprefix("v") if chart.kind == "oci" else chart.version
        pin = f"{owner}/{chart.name}@{version}"
        self._pinned[pin] = chart
        return pin

    def reference(self, pin: str) -> str:
        """Return a chart's name in layer files, once all charts are known: with its version if there are several."""
        name = pin.partition("@")[0]
        return name if len(self._versions(name)) < 2 else pin  # noqa: PLR2004

    def _versions(self, name: str) -> list[FoundChart]:
        return [chart for pin, chart in self._pinned.items() if pin.partition("@")[0] == name]

    def _copy(self, chart: FoundChart) -> str:
        kind = "manifests" if chart.kind == "manifests" else "platform"
        base = f"{kind}/{re.sub(r'[^a-z0-9.-]+', '-', PurePosixPath(chart.path).name.lower()) or 'root'}"
        name = base
        number = 1
        while self._copied.get(name, chart) != chart:
            number += 1
            name = f"{base}-{number}"
        self._copied[name] = chart
        return name

    def write(self) -> None:
        for name, chart in self._copied.items():
            base = self._tree.root / chart.path
            for file in [self._tree.root / path for path in chart.files] or sorted(base.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    copy = PurePosixPath("charts", name, file.relative_to(base).as_posix())
                    self._made.files[copy] = read_source(file)
        entries = [
            {
                "publisher": pin.partition("/")[0],
                "name": chart.name,
                "version": pin.partition("@")[2],
                chart.kind: f"{chart.repository}/{chart.name}" if chart.kind == "oci" else chart.repository,
                "sha256": None,
            }
            for pin, chart in sorted(self._pinned.items())
        ]
        if entries:
            self._made.files[PurePosixPath("charts/third_party/lock.yaml")] = yaml_text({"charts": entries}).encode()


def publisher(repository: str) -> str:
    """Return a short name of a chart's publisher: `https://charts.jetstack.io` is jetstack."""
    place, _, rest = repository.partition("://")[2].partition("/")
    host = [word for word in place.partition(":")[0].split(".") if word and word not in _PLAIN_WORDS]
    path = [word for word in rest.split("/") if word and word not in _PLAIN_WORDS]
    words = [*path, *host] if (host and host[-1] in _SHARED_HOSTS) or not host else host
    return re.sub(r"[^a-z0-9]+", "-", (words[0] if words else "upstream").lower()).strip("-") or "upstream"
