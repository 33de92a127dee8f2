"""Manifests and kustomizations as charts: what is wrong with them, what helm prints of them, and their digests."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from devtools.base.machine_yaml import read_documents, yaml_text
from devtools.charts.crds import objects_in_crds
from devtools.charts.packaged.packages import ISOLATED, Kustomize, Packages
from devtools.charts.resolve import Charts
from devtools.config.finder import ChartUnknown
from devtools.errors import ConfigError
from devtools.model import ChartRef
from devtools.process.runner import Cancel, SubprocessRunner
from tests.kits.stack import cases, printed, write

Tool = Callable[[str], Path]
CONFIG_MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {}}\n"
TEXTS = [
    "{{ .Values.x }}",
    "{{- include `a` . -}}",
    "{{{ b }}}",
    '{{ "{{" }}',
    "}} {{/* not a comment */}}",
    "$${x} ${DS_PROM}",
    "{{",
    "line\n---\nline",
    "  {{ indented }}\n\n",
    "-----BEGIN CERTIFICATE-----\n{{ base64 }}\n-----END CERTIFICATE-----\n",
]
KUSTOMIZATION = {
    "charts/kustomize/api/base/kustomization.yaml": (
        "resources: [../../../../apps, a.yaml]\n"
        "components: [../component]\n"
        "patches: [{path: patch.yaml}]\n"
        "configurations: [names.yaml]\n"
        "replacements: [{path: replacement.yaml}]\n"
        "transformers: [labels.yaml]\n"
        "configMapGenerator: [{name: made, files: [conf.txt, key=other.txt], envs: [a.env]}]\n"
    ),
    "charts/kustomize/api/base/a.yaml": CONFIG_MAP.replace("NAME", "a"),
    "charts/kustomize/api/base/patch.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: c}}\n",
    "charts/kustomize/api/base/names.yaml": "namePrefix: [{path: metadata/name, kind: ConfigMap}]\n",
    "charts/kustomize/api/base/replacement.yaml": (
        "source: {kind: ConfigMap, name: a, fieldPath: data.b}\n"
        "targets: [{select: {kind: ConfigMap, name: app}, fieldPaths: [data.b], options: {create: true}}]\n"
    ),
    "charts/kustomize/api/base/labels.yaml": (
        "{apiVersion: builtin, kind: PatchTransformer, metadata: {name: p}, path: second.yaml}\n"
    ),
    "charts/kustomize/api/base/second.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {d: e}}\n",
    "charts/kustomize/api/base/conf.txt": "x={{ y }}\n",
    "charts/kustomize/api/base/other.txt": "other\n",
    "charts/kustomize/api/base/a.env": "A=b\n",
    "charts/kustomize/api/component/kustomization.yaml": (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [c.yaml]\n"
    ),
    "charts/kustomize/api/component/c.yaml": CONFIG_MAP.replace("NAME", "c"),
    "charts/kustomize/api/overlays/dev/kustomization.yaml": "resources: [../../base]\nnamePrefix: dev-\n",
    "apps/kustomization.yaml": "resources: [app.yaml]\n",
    "apps/app.yaml": CONFIG_MAP.replace("NAME", "app"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository, and what makes charts of it."""

    root: Path
    packages: Packages

    def charts(self) -> Charts:
        """Its charts, as another process would find them."""
        packages = replace(self.packages, _sources={})
        return Charts(self.root / "charts", self.root, packages=lambda: packages)

    def made(self, name: str, environment: str = "local") -> ChartRef:
        """A chart, made."""
        charts = self.charts()
        chart = charts.find(name, environment)
        charts.digest(chart)
        return chart


def never() -> Path:
    raise AssertionError("kubectl is asked for")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Repository]:
    """Makes a repository of files; kustomizations are rendered by a program, or may not be."""

    def made(files: Mapping[str, str], program: Callable[[], Path] = never) -> Repository:
        root = write(tmp_path / "repository", files)
        kustomize = Kustomize(program=program, version="1", runner=SubprocessRunner(ISOLATED, Cancel()))
        cache = tmp_path / "cache"
        return Repository(
            root=root, packages=Packages(charts=root / "charts", root=root, cache=cache, kustomize=kustomize)
        )

    return made


def rendered(helm: Path, chart: Path, namespace: str = "apps", *words: str) -> list[dict[str, Any]]:
    """What helm makes of a chart."""
    argv = [str(helm), "template", "web", str(chart), "--namespace", namespace, *words]
    return list(read_documents(subprocess.run(argv, check=True, capture_output=True, text=True).stdout))


@pytest.mark.parametrize("case", cases("packaged"))
def test_problems(make: Callable[..., Repository], tool: Tool, case: dict[str, Any]) -> None:
    files = {f"charts/{name}": text for name, text in case["files"].items()}
    repository = make(files, lambda: tool("kubectl") if case.get("renders") else never())
    with pytest.raises(ConfigError) as caught:
        repository.made(case["chart"], case.get("environment", "local"))
    assert printed(caught.value) == case["problems"]
    assert not list(repository.packages.cache.rglob("*"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("manifests/wep", "did you mean 'manifests/web'?"),
        ("kustomize/apj", "did you mean 'kustomize/api'?"),
        (
            "kustomize/empty",
            (
                "write charts/kustomize/empty/overlays/dev/kustomization.yaml, "
                "or charts/kustomize/empty/base/kustomization.yaml for all"
            ),
        ),
    ],
)
def test_a_chart_that_is_not_there(make: Callable[..., Repository], name: str, hint: str) -> None:
    files = {"charts/manifests/web/a.yaml": "", "charts/kustomize/empty/README.md": "", **KUSTOMIZATION}
    with pytest.raises(ChartUnknown) as caught:
        make(files).charts().find(name, "dev")
    assert caught.value.hint == hint


def test_text_comes_out_as_it_is_written(make: Callable[..., Repository], tool: Tool) -> None:
    """Never as a template: neither in templates nor in CRDs, whatever the text is."""
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"text-{number}"}, "data": {"text": text}}
        for number, text in enumerate(TEXTS)
    ]
    files = {f"charts/manifests/web/{item['metadata']['name']}.yaml": yaml_text(item) for item in objects}  # type: ignore[index]
    files["charts/manifests/web/all.yaml"] = "# {{ a comment }}\n---\n" + "---\n".join(
        yaml_text({**item, "metadata": {"name": f"other-{number}"}}) for number, item in enumerate(objects)
    )
    files["charts/manifests/web/quoted.yaml"] = (
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: quoted}\ndata:\n  text: "a\n\n-----BEGIN\n\n{{ b }}"\n'
    )
    found = rendered(tool("helm"), make(files).made("manifests/web").path)
    texts = {item["metadata"]["name"]: item["data"]["text"] for item in found}
    expected = {f"{kind}-{number}": text for number, text in enumerate(TEXTS) for kind in ("text", "other")}
    assert texts == {**expected, "quoted": "a\n-----BEGIN\n{{ b }}"}


def test_crds_lists_and_namespaces(make: Callable[..., Repository], tool: Tool) -> None:
    files = {
        "charts/manifests/web/all.yaml": (
            "%YAML 1.1\n---\n"
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: apps}\n---\n"
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
            "metadata: {name: widgets.example.com}\n"
            "spec: {names: {kind: Widget}, versions: [{name: v1}], text: '{{ x }}'}\n...\n---\n"
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: others}\n--- # a comment\n"
            "apiVersion: v1\nkind: List\nitems:\n"
            "  - {apiVersion: v1, kind: Service, metadata: {name: web, namespace: others}}\n"
            "  - apiVersion: apiextensions.k8s.io/v1\n    kind: CustomResourceDefinition\n"
            "    metadata: {name: gadgets.example.com}\n    spec: {names: {kind: Gadget}, versions: [{name: v1}]}\n"
        ),
        "charts/manifests/web/below/one.json": '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}',
    }
    chart = make(files).made("manifests/web").path
    crds = {item.data["metadata"]["name"]: item for item in objects_in_crds(chart, {})}
    assert sorted(crds) == ["gadgets.example.com", "widgets.example.com"]
    assert crds["widgets.example.com"].data["spec"]["text"] == "{{ x }}"
    named = {namespace: rendered(tool("helm"), chart, namespace) for namespace in ("apps", "elsewhere")}
    shown = {key: sorted(f"{o['kind']}/{o['metadata']['name']}" for o in objects) for key, objects in named.items()}
    assert shown == {
        "apps": ["Namespace/others", "Service/web", "Service/web"],
        "elsewhere": ["Namespace/apps", "Namespace/others", "Service/web", "Service/web"],
    }


def test_a_name_is_not_a_template_either(make: Callable[..., Repository], tool: Tool) -> None:
    name = 'a" }}{{ fail "executed" }}{{ "'
    namespace = yaml_text({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    chart = make({"charts/manifests/web/{{ x }}.yaml": namespace}).made("manifests/web")
    assert [item["metadata"]["name"] for item in rendered(tool("helm"), chart.path)] == [name]


def test_a_package_is_the_same_each_time_and_made_once(make: Callable[..., Repository]) -> None:
    repository = make({"charts/manifests/web/a.yaml": CONFIG_MAP.replace("NAME", "a")})
    chart = repository.made("manifests/web")
    raw, written = chart.path.read_bytes(), chart.path.stat().st_mtime_ns
    assert stat.S_IMODE(chart.path.stat().st_mode) == 0o600
    assert repository.made("manifests/web") == chart
    assert chart.path.stat().st_mtime_ns == written
    chart.path.unlink()
    assert repository.made("manifests/web").path.read_bytes() == raw


def test_a_link_out_of_the_repository_is_refused_each_time(make: Callable[..., Repository], tmp_path: Path) -> None:
    repository = make({"devtools.yaml": "", "charts/manifests/web/a.yaml": CONFIG_MAP.replace("NAME", "a")})
    repository.made("manifests/web")
    outside = write(tmp_path, {"outside.yaml": CONFIG_MAP.replace("NAME", "b")}) / "outside.yaml"
    (repository.root / "charts/manifests/web/b.yaml").symlink_to(outside)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            repository.made("manifests/web")
        (problem,) = printed(caught.value)
        assert problem.startswith("charts/manifests/web/b.yaml:1:1: ")


def test_the_newest_packages_of_a_chart_remain(make: Callable[..., Repository]) -> None:
    repository = make({})
    for number in range(22):
        write(repository.root, {"charts/manifests/web/a.yaml": CONFIG_MAP.replace("NAME", f"a-{number}")})
        chart = repository.made("manifests/web")
    archives = set(chart.path.parent.iterdir())
    assert len(archives) == 20
    assert chart.path in archives


def test_every_file_that_kustomize_reads_is_part_of_the_digest(make: Callable[..., Repository], tool: Tool) -> None:
    """It renders from copies of these files, so one that was overlooked would be missing there."""
    repository = make(KUSTOMIZATION, lambda: tool("kubectl"))
    whole = repository.made("kustomize/api", "dev")
    names = sorted(item["metadata"]["name"] for item in rendered(tool("helm"), whole.path))
    assert [name.partition("-made-")[0] for name in names] == ["dev-a", "dev-app", "dev-c", "dev"]
    watched = {path.relative_to(repository.root).as_posix() for path in whole.sources}
    assert watched == {"apps", "charts/kustomize/api"}
    for name, text in KUSTOMIZATION.items():
        write(repository.root, {name: f"{text}#\n"})
        changed = repository.charts().find("kustomize/api", "dev")
        assert (changed.sha256, changed.path) != (whole.sha256, whole.path), name
        assert not repository.charts().is_current(whole, "dev")
        write(repository.root, {name: text})
    write(repository.root, {"apps/other.yaml": "a: b\n", "charts/kustomize/api/README.md": "# Nothing\n"})
    assert repository.charts().find("kustomize/api", "dev") == whole
    assert repository.charts().is_current(whole, "dev")


def test_an_overlay_is_built_where_there_is_one(make: Callable[..., Repository], tool: Tool) -> None:
    repository = make(KUSTOMIZATION, lambda: tool("kubectl"))
    assert repository.charts().find("kustomize/api", "local").name == "kustomize/api/base"
    assert repository.charts().find("kustomize/api", "dev").name == "kustomize/api/overlays/dev"
    write(repository.root, {"charts/kustomize/api/Kustomization": "resources: [base]\n"})
    assert repository.charts().find("kustomize/api", "local").name == "kustomize/api"


def test_bases_upon_bases_have_an_end(make: Callable[..., Repository]) -> None:
    files = {f"charts/kustomize/api/{n}/kustomization.yaml": f"resources: [../{n + 1}]\n" for n in range(400)}
    repository = make({**files, "charts/kustomize/api/kustomization.yaml": "resources: ['0']\n"})
    with pytest.raises(ConfigError) as caught:
        repository.made("kustomize/api")
    (problem,) = printed(caught.value)
    assert problem.startswith(
        "charts/kustomize/api/48/kustomization.yaml:1:13: '../49' is the base of 50 kustomizations"
    )


def test_files_that_are_too_large_together_are_not_cached(
    make: Callable[..., Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have 100 MiB: no machine has the memory for hundreds of them."""
    monkeypatch.setattr("devtools.charts.packaged.source_files.LARGEST_FILE", 150)
    text = CONFIG_MAP.replace("NAME", "a") + "#" * 20
    files = {f"charts/{kind}/web/{name}.yaml": text for kind in ("manifests", "kustomize") for name in "ab"}
    files["charts/kustomize/web/kustomization.yaml"] = "resources: [a.yaml, b.yaml]\n"
    repository = make(files)
    for kind in ("manifests", "kustomize"):
        with pytest.raises(ConfigError) as caught:
            repository.made(f"{kind}/web")
        (problem,) = printed(caught.value)
        assert problem.startswith(f"charts/{kind}/web/b.yaml:1:1: cannot be read: with the files before it, this chart")


def test_nothing_runs_before_a_package_is_needed(make: Callable[..., Repository]) -> None:
    charts = make(KUSTOMIZATION).charts()
    assert charts.names() == ("kustomize/api",)
    assert charts.find("kustomize/api", "dev").kind == "packaged"


def test_kustomize_gets_nothing_of_the_machine(
    make: Callable[..., Repository], tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that an env file takes from the environment is refused; inline in a plugin there is none."""
    monkeypatch.setenv("CANARY", "secret")
    files = {
        "charts/kustomize/api/kustomization.yaml": "generators: [a.yaml]\n",
        "charts/kustomize/api/a.yaml": (
            "{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: made}, envs: [a.env]}\n"
        ),
        "charts/kustomize/api/a.env": "A=b\nCANARY\n",
    }
    repository = make(files, lambda: tool("kubectl"))
    sources = replace(_sources(repository), problems=())
    assert b"secret" not in repository.packages.kustomize.render(sources)


def _sources(repository: Repository) -> Any:
    """What is read of its only kustomization."""
    repository.packages.find("kustomize", "api", "")
    return repository.packages._sources["kustomize/api"]
