"""Real helm, kubectl and sh over this repository's charts, layers and overlays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.kube.discovery import Resource
from devtools.process.runner import Cancel, Command, Result, SubprocessRunner

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "charts" / "platform"
HERE = Path(__file__).parent
ENVIRONMENTS = ("local", "dev", "staging", "production")
Tool = Callable[[str], Path]
SHORT = {"CustomResourceDefinition": "crd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A release as its layer file declares it, with the overlays of one environment."""

    layer: str
    name: str
    namespace: str
    chart: Path
    environment: str
    smoke: bool
    contract: tuple[dict[str, Any], ...]

    @property
    def overlays(self) -> tuple[Path, ...]:
        """The values files that exist, weakest first."""
        places = ("_shared", self.environment)
        files = (ROOT / "environments" / place / self.layer / f"{self.name}.yaml" for place in places)
        return tuple(file for file in files if file.exists())

    def __str__(self) -> str:
        return f"{self.environment}-{self.name}"


def load(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def releases(environment: str) -> Iterator[Declared]:
    """Every release of our own charts of the environment, switched on or not, in the order of the layers."""
    default = load(ROOT / "layers" / "_defaults.yaml")["release"]["namespace"]
    for file in sorted((ROOT / "layers").glob("[0-9]*.yaml")):
        layer = load(file)
        if environment not in layer.get("environments", ENVIRONMENTS):
            continue
        for release in layer.get("releases", []):
            if release["chart"].startswith("platform/"):
                yield Declared(
                    layer=file.stem,
                    name=release["name"],
                    namespace=release.get("namespace", default),
                    chart=ROOT / "charts" / release["chart"],
                    environment=environment,
                    smoke=release.get("smoke", False),
                    contract=tuple(release.get("contract", [])),
                )


BRIEF = {"GOGC": "off"}  # who lives for a moment need not collect garbage: a fifth of a helm's work; never for servers


def run(
    argv: Sequence[object], stdin: str | None = None, env: Mapping[str, str] | None = None, timeout: float = 300
) -> Result:
    """Run to the end, with nothing but `env` and a PATH of the system's own directories in the environment."""
    brief = BRIEF if Path(str(argv[0])).name in {"helm", "kubectl"} else {}
    runner = SubprocessRunner({"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **brief, **(env or {})}, Cancel())
    command = Command(
        argv=tuple(str(arg) for arg in argv), stdin=stdin.encode() if stdin is not None else None, timeout=timeout
    )
    return runner.run(command)


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def render(helm: Path, release: Declared, *, again: bool = False) -> list[dict[str, Any]]:
    """Everything that the release renders to, test hooks included; the caller may change it.

    `again`: by a helm of its own, not as it was rendered before.
    """
    rendered = _rendered.__wrapped__ if again else _rendered
    return documents(rendered(helm, release.name, release.chart, release.namespace, tuple(release.overlays)))


@cache
def _rendered(helm: Path, name: str, chart: Path, namespace: str, overlays: tuple[Path, ...]) -> str:
    """What helm prints; many tests ask for the same."""
    files = [word for file in overlays for word in ("-f", file)]
    result = run([helm, "template", name, chart, "-n", namespace, *files])
    assert result.ok, result.stderr
    return result.stdout


@cache
def _kube(kubeconfig: Path, context: str) -> Kube:
    return Kube(kubeconfig, context, Cancel())


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl on one cluster, as its administrator or as somebody else."""

    binary: Path
    kubeconfig: Path
    context: str

    @classmethod
    def on(cls, cluster: Cluster, tool: Tool) -> Kubectl:
        return cls(tool("kubectl"), cluster.kubeconfig, cluster.context)

    @property
    def env(self) -> dict[str, str]:
        """Where it remembers what the API server serves: asking for some two hundred kinds is most of its work."""
        return {"KUBECACHEDIR": str(self.kubeconfig.with_name("kubectl"))}

    def run(self, *words: str, stdin: str | None = None) -> Result:
        argv = [self.binary, "--kubeconfig", self.kubeconfig, "--context", self.context, *words]
        return run(argv, stdin, self.env)

    def kube(self) -> Kube:
        """Our own client of the same cluster: no process a question."""
        return _kube(self.kubeconfig, self.context)

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        result = self.run(*words, stdin=stdin)
        assert result.ok, f"kubectl {' '.join(words)}: {result.stderr}"
        return result.stdout

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> None:
        text = yaml.safe_dump_all(objects)
        self("apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", "-", stdin=text)

    def get(self, *words: str) -> Any:
        return yaml.load(self("get", *words, "-o", "yaml"), yaml.CSafeLoader)

    def served(self, word: str) -> Resource | None:
        """The served kind of which a user says `deployment`, `gateways` or `cluster.postgresql.cnpg.io`."""
        short, _, group = word.partition(".")
        for look_again in (False, True):
            if look_again:
                self.kube().discover()  # it may have come since
            for item in self.kube().served():
                same_group = not group or item.api_version.startswith(f"{group}/")
                if same_group and short in {item.plural, item.kind.lower(), SHORT.get(item.kind)}:
                    return item
        return None

    def object(self, target: str, namespace: str = "default") -> dict[str, Any]:
        """What `kubectl get KIND/NAME` says of an object that is there."""
        kind, _, name = target.partition("/")
        resource = self.served(kind)
        found = self.kube().get(resource.path(namespace, name)) if resource else None
        assert found, f"{target} in {namespace}"
        return found

    def put(self, item: Mapping[str, Any], namespace: str = "default") -> None:
        """`kubectl apply --server-side` of one object."""
        resource = self.kube().resource(item["kind"], item["apiVersion"])
        assert resource, item
        self.kube().apply(resource.path(namespace, item["metadata"]["name"]), item)

    def look(self, *words: str, template: str, namespace: str = "default") -> str:
        """What `kubectl get WORDS -o jsonpath=TEMPLATE` prints, or nothing where it fails; no process a question.

        The words are `kind/name`, or a kind with `-l` and a selector.
        """
        kind, _, name = words[0].partition("/")
        resource = self.served(kind)
        if resource is None:
            return ""
        kube = self.kube()
        if name:
            found = kube.get(resource.path(namespace, name))
        else:
            found = {"items": kube.items(resource.path(namespace), labelSelector=words[words.index("-l") + 1])}
        return "" if found is None else fill(template, found)


STEP = re.compile(r'\.((?:[^.\[\\]|\\.)+)|\[(\*|\d+)\]|\[\?\(@\.(\w+)=="([^"]*)"\)\]')


def fill(template: str, item: Any) -> str:
    """A template of kubectl's jsonpath: `{.paths}` with keys, indices, `[*]` and `[?(@.key=="value")]`, and text."""
    return re.sub(r"\{([^}]*)\}", lambda match: " ".join(map(_shown, _at(match[1], item))), template)


def _at(path: str, item: Any) -> list[Any]:
    """The values at a path; none where something on the way is not there."""
    assert not STEP.sub("", path), f"not read here: {path}"
    found = [item]
    for key, index, name, value in STEP.findall(path):
        if key:
            plain = key.replace("\\", "")
            found = [each[plain] for each in found if isinstance(each, dict) and plain in each]
            continue
        lists = [each for each in found if isinstance(each, list)]
        if name:
            found = [entry for each in lists for entry in each if str(entry.get(name)) == value]
        elif index == "*":
            found = [entry for each in lists for entry in each]
        else:
            found = [each[int(index)] for each in lists if int(index) < len(each)]
    return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
