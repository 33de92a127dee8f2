"""Whatever files hold, tools print and API servers answer, it is read or refused in a sentence.

`HYPOTHESIS_PROFILE=nightly` tries 10,000 of each; `--hypothesis-show-statistics` tells how many of them were read.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import event, example, given
from hypothesis import strategies as st
from platform_hooks.wanted import RELEASE as OF_SECRETS
from platform_hooks.wanted import read_seeds
from pydantic import TypeAdapter

from devtools.base import key_types
from devtools.base.machine_json import read_json
from devtools.bootstrap import tilt_commands
from devtools.buf import commands as buf
from devtools.buf.token import find_token
from devtools.charts.lock import LockEntry, LockFile, load_lock
from devtools.charts.sources.latest import latest_in
from devtools.charts.standin import chart_files
from devtools.clusters import ctr
from devtools.clusters.context import ContextProvider
from devtools.clusters.embedded import kwokctl
from devtools.clusters.embedded.simulation import digest, stack_objects
from devtools.clusters.k3d import output as k3d_output
from devtools.clusters.k3d.config import LABEL, Config, Registry, differences, document
from devtools.config.build import DefaultsFile
from devtools.config.settings import Settings, load_settings
from devtools.config.validate import form_of
from devtools.config.values import inputs_digest, merge
from devtools.docker import buildx
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault, Location
from devtools.helm import commands as helm
from devtools.helm import failures, record, rejections, revision
from devtools.helm.labels import ANNOTATION_OBJECTS
from devtools.images.catalog import ImagesFile, load_catalog
from devtools.images.rendered import images_of
from devtools.kube.connections import Connections
from devtools.kube.discovery import Discovery
from devtools.kube.kubeconfig import read_credentials, ssl_context
from devtools.model import ChartRef, Contract, Facts, Layer, Release, ReleaseId, Stack
from devtools.planning.plan import Selection, make_plan
from devtools.process.runner import Result
from devtools.readiness.contract_evaluation import evaluate
from devtools.readiness.failures import symptoms
from devtools.releases.facts import owned_objects
from devtools.run_context.durations import read_durations
from devtools.smoke.hook_watcher import hooks
from devtools.smoke.watch import Test
from devtools.tilt.specs import Surroundings, layer_specs, to_json, to_starlark
from devtools.toolchain import versions
from tests.config.test_stack import GOOD
from tests.kits.fuzzing import LAX_JSON, ODD_JSON, SLOW, documents, scratch, texts
from tests.kits.stack import load, repository, write

ROOT = Path(__file__).parents[2]

# --- files

LOCK = """\
charts:
  - publisher: acme
    name: tool
    version: 1.0.0
    repository: https://charts.example.com
    sha256: ab00000000000000000000000000000000000000000000000000000000000000
    license: MIT
    contract: {crds: [{group: a.example.com, kind: Tool, versions: [v1]}], workloads: []}
  - publisher: acme
    name: other
    version: v2.0.1-rc.1+x
    oci: oci://example.com/charts/other
    sha256: null
    contract:
      crds_in: templates
      crds_keep: true
      crds_switch: crds.enabled
      crds:
        - {group: gateway.networking.k8s.io, kind: Tool, plural: tools, scope: Namespaced, status: false,
           versions: [{name: v1, storage: true}, {name: v1beta1, served: false}]}
      workloads: [{kind: Deployment, name: "{release}"}, {kind: StatefulSet, name: "{fullname}-db"}]
      services:
        - {name: "{release}", ports: [{port: 80}]}
        - {name: "{fullname}-db", headless: true, ports: [{name: a, port: 5432}, {name: b, port: 53, protocol: UDP}]}
"""
LAYER = """\
stage: app
alias: front
critical_path: true
environments: [local, dev]
releases:
  - &web
    name: web
    namespace: ameide
    chart: platform/web
    values: {image: {tag: b}, list: [a, {b: c}], nothing: null, number: 0x1F, text: "on"}
    needs: [data/db, {release: ameide/other, optional: true}]
    contract:
      - {apiVersion: v1, kind: Service, name: web, namespace: ameide, timeout: 1h30m}
      - {kind: Gateway, name: web, condition: Programmed}
      - {kind: Deployment, name: web, jsonpath: "{.status.phase}", equals: Ready}
      - {http: {service: web, port: 80, path: /healthz, status: 200, contains: ok}, timeout: 10s}
    before: [{run: [python, seed.py, "--x=1"], timeout: 5s}]
    labels: {team: web, example.com/tier: front}
    installed: flags.db
    timeout: 90
    wait: false
    history: 3
    optional: false
  - <<: *web
    name: other
    needs: []
    installed: false
  - {name: front-smoke, chart: platform/web, smoke: true, environments: [dev]}
"""
SETTINGS = """\
name: shop
environment: local
paths: {layers: layers, charts: charts, environments: environments, simulation: simulation}
cluster: {name: shop-x, provider: k3d, api_port: 6550, ports: ["80:80"], mirrors: {docker.io: ["https://m"]}}
environments: {local: {cluster: {provider: context, context: team}}}
allowed_contexts: [team, other]
"""
IMAGES = """\
images:
  - {name: docker.io/alpine/k8s, tag: 1.34.1, digest: null, purpose: hooks}
  - name: localhost:5000/app
    tag: dev
    purpose: ours
    build: {context: charts, file: platform/web/Chart.yaml, target: a, args: {A: b}}
  - {name: app/archive, tag: "1", purpose: given, archive: devtools.yaml}
"""
OVERLAY = (ROOT / "environments/production/24-auth/postgres-clusters.yaml").read_text()
FILES: dict[str, tuple[str, ...]] = {
    "devtools.yaml": ("name: shop\ncluster: {provider: kwok, nodes: 3}\npaths: {charts: charts}\n", SETTINGS),
    "layers/_defaults.yaml": (GOOD["layers/_defaults.yaml"], (ROOT / "layers/_defaults.yaml").read_text()),
    "layers/20-app.yaml": (GOOD["layers/20-app.yaml"], LAYER),
    "environments/_shared/environment.yaml": (GOOD["environments/_shared/environment.yaml"],),
    "environments/local/20-app/web.yaml": ("replicas: 3\nimage: {tag: c}\n", OVERLAY),
    "charts/platform/web/Chart.yaml": ("apiVersion: v2\nname: web\nversion: 0.1.0\n",),
    "charts/platform/web/values.yaml": ("replicas: 1\nimage: {tag: a, name: img}\n", OVERLAY),
    "charts/third_party/lock.yaml": (
        LOCK.replace("[v1]", "[{name: v1, storage: true}], plural: tools, scope: Cluster"),
    ),
    "images.yaml": (IMAGES,),
}


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with scratch() as directory:
        yield repository(Path(directory), {**GOOD, **{name: goods[0] for name, goods in FILES.items()}})


@pytest.mark.parametrize("name", FILES)
def test_the_good_ones_among_the_files_are_read(root: Path, name: str) -> None:
    """Else all that is made of them would be refused for the same reason."""
    before = (root / name).read_bytes()
    for good in FILES[name]:
        write(root, {name: good})
        _use(_read_all(root), root)
    write(root, {name: before})


@pytest.mark.parametrize("name", FILES)
@SLOW
@given(data=st.data())
def test_whatever_a_file_of_a_repository_holds(root: Path, name: str, data: st.DataObject) -> None:
    good = (root / name).read_bytes()
    write(root, {name: data.draw(documents(*FILES[name]))})
    try:
        _use(_read_all(root), root)
        event("read")
    except ConfigError as error:
        event("not YAML" if any("YAML" in problem.message for problem in error.problems) else "refused")
        for problem in error.problems:
            assert problem.where.line > 0
            assert problem.where.column > 0
            assert not problem.where.file.is_absolute()
            assert str(problem).encode()
    finally:
        (root / name).write_bytes(good)


def _read_all(root: Path) -> Stack:
    """What a run reads before it looks for a cluster."""
    stack = load(root)
    settings = load_settings(root)
    load_catalog(settings.root)
    for entry in load_lock(settings.charts, settings.root).entries.values():
        chart_files(entry)
    return stack


def _use(stack: Stack, root: Path) -> None:
    """What is made of a stack without a cluster."""
    digests = {}
    for release in stack.releases():
        merged = merge(release, stack.environment, root=stack.root)
        json.dumps(
            merge(release, stack.environment, root=stack.root, charts_default=True).data, allow_nan=False
        ).encode()
        digests[release.id] = inputs_digest(release, merged.data, "a" * 64)
        json.dumps(merged.data, allow_nan=False).encode()  # what helm is given
    names = tuple(layer.name for layer in stack.layers)
    make_plan(stack, Selection(layers=names), Facts(), digests)
    around = Surroundings(
        cluster="c",
        provider="kwok",
        context="c",
        kubeconfig=root / "kubeconfig",
        invoke=("invoke",),
        layers=root / "layers",
        environments=root / "environments",
        exists=Path.exists,
    )
    specs = layer_specs(stack, around)
    assert json.loads(to_json(specs)) == specs
    assert to_starlark(specs).encode()


ENV = "# a\nBUF_TOKEN=abc\nexport OTHER='x y' # z\nBUF_TOKEN=\"a\\\"b\"\nA=${BUF_TOKEN:-x}\nB='''\n"


@given(texts("BUF_TOKEN=abc\nexport OTHER='x y' # z\n", ENV, ENV.replace("\n", "\r\n")))
def test_whatever_an_env_file_holds(raw: bytes) -> None:
    with scratch() as directory:
        (Path(directory) / ".env").write_bytes(raw)
        try:
            assert find_token({}, Path(directory)).encode()
            event("read")
        except ConfigError:
            event("refused")


KUBECONFIG = yaml.safe_dump(
    {
        "apiVersion": "v1",
        "current-context": "x",
        "preferences": {},
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://127.0.0.1:1",
                    "certificate-authority-data": "YQ==",
                    "insecure-skip-tls-verify": False,
                    "tls-server-name": "x",
                    "proxy-url": "http://127.0.0.1:2",
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "t", "client-certificate-data": "YQ==", "client-key-data": "YQ=="}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
    }
)
FILED = yaml.safe_dump(
    {
        "clusters": [{"name": "c", "cluster": {"server": "https://h:1", "certificate-authority": "kubeconfig"}}],
        "users": [{"name": "u", "user": {"tokenFile": "kubeconfig", "username": "a", "password": "b"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
)


CREDENTIAL = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'
PLUGGED = yaml.safe_dump(
    {
        "clusters": [{"name": "c", "cluster": {"server": "https://h:1"}}],
        "users": [
            {
                "name": "u",
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1",
                        "command": "cat",
                        "args": ["credential"],
                        "env": [{"name": "a", "value": "b"}],
                    }
                },
            }
        ],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
)


@example(PLUGGED.replace("exec:", "auth-provider: 5\n    a:").encode())
@example(PLUGGED.replace("cat", "=").encode())  # which the SDK's parser does not read
@given(documents(KUBECONFIG, FILED, PLUGGED))
def test_whatever_a_kubeconfig_holds(raw: bytes) -> None:
    with scratch() as directory:
        path = Path(directory) / "kubeconfig"
        path.write_bytes(raw)
        (path.parent / "credential").write_text(CREDENTIAL)
        try:
            credentials = read_credentials(path, "x")
            event("read")
            assert credentials.authorization.isascii()
            ssl_context(credentials)
            if credentials.needs_sdk:
                assert set(Connections(path, "x").authorization()) <= {"Authorization"}
                event("plugged")
        except DevtoolsError as error:
            event(type(error).__name__)


def _context_at(kubeconfig: Path, state: Path) -> ContextProvider:
    return ContextProvider("x", allowed=("x",), kubeconfigs=(kubeconfig,), state=state)


@example(KUBECONFIG.replace("certificate-authority-data", "1").encode())
@example(
    KUBECONFIG.replace("tls-server-name: x", "tls-server-name: 'n'").encode()
)  # text that YAML 1.1 reads as a boolean
@example(KUBECONFIG.replace("YQ==", "[" * 380 + "]" * 380, 1).encode())
@given(documents(KUBECONFIG, FILED, FILED.replace("username: a", "exec: {command: ./a}")))
def test_a_context_is_read_from_any_kubeconfig(raw: bytes) -> None:
    with scratch() as directory:
        path, state = Path(directory) / "kubeconfig", Path(directory) / "state"
        path.write_bytes(raw)
        provider = _context_at(path, state)
        named = provider.kubeconfig()
        try:
            copied = provider.find().kubeconfig
        except EnvironmentFault:
            event("refused")
            assert named == state / "kubeconfig"
            assert not state.exists()
            return
        event("taken")
        assert copied == named
        assert _context_at(copied, state).find().kubeconfig == copied  # as it is handed to Tilt


STAGES = "---\napiVersion: kwok.x-k8s.io/v1alpha1\nkind: Stage\nmetadata: {name: a, labels: {x: y}}\nspec: {a: [1]}\n"
SEEDS = (ROOT / "environments/_shared/15-secrets-certificates/vault-secrets.yaml").read_text()


@given(documents(SEEDS))
def test_whatever_the_values_of_the_secrets_hold(raw: bytes) -> None:
    with scratch() as directory:
        write(Path(directory), {f"_shared/{OF_SECRETS}": raw, f"local/{OF_SECRETS}": "store: {path: other}\n"})
        try:
            event("read" if read_seeds(Path(directory), "local").secrets else "none")
        except ConfigError:
            event("refused")


INDEX = "apiVersion: v1\nentries:\n  a: [{version: 1.0.0, name: a}, {version: 1.0.1-rc.1}]\n  b: [{version: v2.0.0}]\n"


@given(documents(STAGES.removeprefix("---\n")))
def test_whatever_a_simulation_file_holds(raw: bytes) -> None:
    with scratch() as directory:
        path = Path(directory) / "kinds.yaml"
        path.write_bytes(raw)
        try:
            assert digest(stack_objects([path]))
            event("read")
        except ConfigError:
            event("refused")


CHART = LockEntry(publisher="acme", name="a", version="1.0.0", sha256="", where=Location(file=Path("lock.yaml")))


@given(documents(INDEX))
def test_whatever_an_index_of_charts_holds(raw: bytes) -> None:
    with scratch() as directory:
        path = Path(directory) / "index.yaml"
        path.write_bytes(raw)
        try:
            latest_in(str(path), [CHART])
            event("read")
        except ConfigError:
            event("refused")


# --- what tools print

MANIFEST = """\
---
# Source: a/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: a, annotations: {helm.sh/hook: test}, labels: {x: y}}
data: {a: b}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: a.example.com
spec: {}
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}, spec: {containers: [{name: a, image: "a:1"}]}}
"""
OBJECT: dict[str, Any] = {**next(iter(yaml.safe_load_all(MANIFEST))), "metadata": {"name": "a", "labels": {"x": "y"}}}
SMOKE = Release(
    name="smoke",
    namespace="ns",
    layer="10-a",
    chart=ChartRef(name="a", path=Path("a")),
    where=Location(file=Path("a")),
    timeout=30.0,
)
HOOK: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "t", "namespace": "n", "annotations": {"helm.sh/hook": "test", "x": "true"}},
    "spec": {"activeDeadlineSeconds": 30, "backoffLimit": 0},
}
POD = {
    "apiVersion": "apps/v1",
    "kind": "Kafka",
    "metadata": {"name": "p"},
    "spec": {
        "kafka": {"image": "k:1"},
        "template": {
            "spec": {
                "initContainers": [],
                "containers": [{"name": "a", "image": "a:1", "env": [{"name": "RELATED_IMAGE_B", "value": "b:1"}]}],
            }
        },
    },
}
REFUSED = """\
Error: UPGRADE FAILED: server-side apply failed for object ns/a apps/v1, Kind=Deployment: conflict occurred while \
applying object ns/a apps/v1, Kind=Deployment: Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: \
.spec.replicas
"""
INVALID = """\
Error: UPGRADE FAILED: server-side apply failed for object ns/j batch/v1, Kind=Job: Job.batch "j" is invalid: \
spec.template: Invalid value: {"a":{"b":[1]}}: field is immutable && conflict occurred while applying object ns/b v1, \
Kind=ConfigMap: Apply failed with 2 conflicts: conflicts with "a" using v1 at 2024-01-01T00:00:00Z:
- .data.x
- .data.y
"""
FOREIGN = """\
Error: INSTALLATION FAILED: unable to continue with install: ConfigMap "a" in namespace "n" exists and cannot be \
imported into the current release: invalid ownership metadata; annotation validation error: key \
"meta.helm.sh/release-name" must equal "x": current value is "y"; "meta.helm.sh/release-namespace" must equal "n": \
current value is "m"
"""
CLUSTERS = (
    '[{"name": "a", "serversCount": 1, "serversRunning": 1, "agentsCount": 0, "agentsRunning": 0, '
    '"nodes": [{"name": "k3d-a-server-0", "role": "server", "portMappings": {"6443/tcp": [{"HostPort": "1"}]}, '
    f'"State": {{"Running": true, "Status": "running"}}, "runtimeLabels": {{"{LABEL}": "x"}}, "Networks": ["a"]}}]}}]'
)
RELEASE = {
    "name": "x",
    "namespace": "ns",
    "version": 1,
    "manifest": MANIFEST,
    "config": {"a": {"b": 1}},
    "info": {"status": "deployed"},
    "hooks": [{"name": "t", "kind": "Job", "events": ["test"], "manifest": MANIFEST, "last_run": {"phase": "Failed"}}],
}
TILT = {
    "items": [
        {
            "metadata": {"name": "a"},
            "status": {
                "order": 1,
                "pid": 7,
                "updateStatus": "ok",
                "runtimeStatus": "ok",
                "buildHistory": [{"error": "x"}],
                "waiting": {"on": [{"name": "b"}]},
            },
        }
    ]
}
FAILED_TILTFILE = {
    "items": [
        {
            "metadata": {"name": tilt_commands.TILTFILE},
            "status": {"updateStatus": "error", "buildHistory": [{"error": "x"}]},
        }
    ]
}
CONNECTED = {"status": {"connection": {"kubernetes": {"context": "k3d-a"}}}}
MADE_FROM = document(Config(name="a", api_port=1, registry=Registry(name="r", port=2), ports=("80:80",)))
KWOK = '{"time": "x", "level": "ERROR", "msg": "y", "err": "z"}\n{"level": "INFO"}\nnot JSON\n'
FINDING = '{"path":"a.proto","start_line":1,"start_column":2,"end_line":1,"type":"X","message":"m"}\n'
IMAGE_TABLE = (
    "REF TYPE DIGEST SIZE PLATFORMS LABELS\na:1 x sha256:0 1.0 MiB linux/amd64 io.cri-containerd.image=managed\n"
)
INVENTORY = '[["v1", "ConfigMap", "ns", "a"], ["apps/v1", "Deployment", "ns", "b"]]'


def _record(printed: str) -> dict[str, Any]:
    packed = base64.b64encode(base64.b64encode(gzip.compress(printed.encode(errors="replace"), 1))).decode()
    return {"metadata": {"namespace": "ns", "name": "x"}, "data": {"release": packed}}


def _read_record(printed: str) -> object:
    stored = record.read_record(_record(printed))
    return (
        stored.objects(),
        stored.crds(),
        stored.tests(),
        stored.ended_hooks(),
        stored.lasting_hooks(),
        stored.encoded_sparing_crds(),
    )


def _tests(printed: str) -> object:
    """What is asked of a test before it is run."""
    tests = [Test(release=SMOKE, hook=hook) for hook in helm.parse_tests(printed)]
    return [(test.name, test.kind, hash(test.ref), test.deadline.seconds, test.is_optional) for test in tests]


def _refusals(printed: str) -> str:
    return "".join(map(str, rejections.refusals(printed)))


def _differences(printed: str) -> object:
    """As they are told of a cluster, from the note of what it was made from."""
    old = read_json(printed)
    return differences(old, MADE_FROM) if isinstance(old, dict) else ()


def _printed(printed: str) -> Result:
    return Result(returncode=1, stdout=printed, stderr=printed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parser:
    """What reads a tool's answer, and answers that are good; `raises` is what its callers catch."""

    parse: Callable[[str], object]
    goods: tuple[str, ...]
    structured: bool = True  # JSON or YAML
    raises: tuple[type[Exception], ...] = ()

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What it may raise."""
        return (DevtoolsError, *self.raises)

    def answers(self) -> Any:
        """Answers, good and less so."""
        odd = (*ODD_JSON, *LAX_JSON)
        return documents(*self.goods, odd=odd) if self.structured else texts(*self.goods)


def _lines(parse: Callable[[str], object], *goods: str, raises: tuple[type[Exception], ...] = ()) -> Parser:
    return Parser(parse=parse, goods=goods, structured=False, raises=raises)


PARSERS: dict[str, Parser] = {
    "helm upgrade": Parser(parse=lambda printed: helm.parse_upgrade(printed, "ns"), goods=(json.dumps(RELEASE),)),
    "helm manifest": _lines(lambda printed: helm.parse_manifest(printed, "ns"), MANIFEST),
    "helm object": Parser(parse=lambda printed: helm.parse_manifest(printed, "ns"), goods=(json.dumps(OBJECT),)),
    "helm images": _lines(lambda printed: images_of(helm.documents(printed)), MANIFEST),
    "helm hooks": _lines(_tests, MANIFEST, yaml.safe_dump(HOOK)),
    "a helm hook": Parser(parse=_tests, goods=(json.dumps(HOOK),)),
    "images of an object": Parser(parse=lambda printed: images_of(helm.documents(printed)), goods=(json.dumps(POD),)),
    "helm failure": _lines(failures.classify, REFUSED, INVALID, FOREIGN),
    "helm refusals": _lines(_refusals, REFUSED, INVALID, FOREIGN),
    "helm values": _lines(rejections.without_values, 'Invalid value: {"a": "b"}: field is immutable', INVALID),
    "helm kinds": _lines(helm.missing_kinds, 'no matches for kind "A" in version "b/v1"'),
    "helm applied": Parser(
        parse=lambda printed: revision.applied(_record(printed), ReleaseId("ns", "x")), goods=(json.dumps(RELEASE),)
    ),
    "helm record": Parser(parse=_read_record, goods=(json.dumps(RELEASE),)),
    "hooks of a record": Parser(
        parse=lambda printed: hooks(_record(printed), "install", "ns"),
        goods=(json.dumps({"hooks": [{"name": "a", "kind": "Job", "events": ["pre-install", "test"]}]}),),
    ),
    "inventory": Parser(
        parse=lambda printed: owned_objects({"annotations": {ANNOTATION_OBJECTS: printed}}), goods=(INVENTORY,)
    ),
    "durations": Parser(parse=read_durations, goods=('{"version": 1, "seconds": {"a/b": 1.5}}',)),
    "k3d clusters": Parser(parse=k3d_output.parse_clusters, goods=(CLUSTERS,), raises=(ValueError,)),
    "k3d registries": Parser(
        parse=k3d_output.parse_registries, goods=(CLUSTERS.replace("server", "registry"),), raises=(ValueError,)
    ),
    "k3d differences": Parser(
        parse=_differences, goods=(json.dumps(MADE_FROM).replace("80:80", "81:80"),), raises=(ValueError,)
    ),
    "k3d error": _lines(
        k3d_output.first_error, 'INFO[0000] x\nERRO[0001] y\nFATA[0002] z\nlevel=error msg="x \\"y\\""\n'
    ),
    "k3d kubeconfig": _lines(
        lambda printed: k3d_output.kubeconfig(printed, "https://127.0.0.1:1"), KUBECONFIG, raises=(ValueError,)
    ),
    "kwokctl": _lines(kwokctl.messages, KWOK),
    "ctr images": _lines(ctr.parse_images, IMAGE_TABLE, raises=(ValueError,)),
    "ctr content": Parser(parse=ctr.config_of, goods=('{"config": {"digest": "sha256:0"}, "layers": []}',)),
    "buf findings": _lines(lambda printed: buf.findings(_printed(printed), Path()), FINDING),
    "a buf finding": Parser(parse=lambda printed: buf.findings(_printed(printed), Path()), goods=(FINDING,)),
    "buf commit": _lines(
        lambda printed: buf.commit(_printed(printed), "buf.build/a/b"), f"buf.build/a/b:{'0123456789abcdef' * 2}\n"
    ),
    "buildx": _lines(buildx.builders, '["a", "a", "kubernetes", "running", ""]\n' * 2, raises=(ValueError,)),
    "tilt resources": Parser(
        parse=tilt_commands.tiltfile_error, goods=(json.dumps(FAILED_TILTFILE),), raises=(ValueError,)
    ),
    "tilt session": Parser(parse=tilt_commands.pid, goods=(json.dumps(TILT),), raises=(ValueError,)),
    "tilt cluster": Parser(parse=tilt_commands.context, goods=(json.dumps(CONNECTED),), raises=(ValueError,)),
    "a version": _lines(lambda printed: versions.parts(versions.read_version(printed) or "0"), "v1.34.4+gabc\n"),
}


@pytest.mark.parametrize("tool", PARSERS)
def test_the_good_ones_among_the_answers_are_read(tool: str) -> None:
    parser = PARSERS[tool]
    assert all(parser.parse(good) for good in parser.goods)


@pytest.mark.parametrize("tool", PARSERS)
@given(data=st.data())
def test_whatever_a_tool_prints(tool: str, data: st.DataObject) -> None:
    parser = PARSERS[tool]
    printed = data.draw(parser.answers()).decode("utf-8", "backslashreplace")
    try:
        event("read something" if parser.parse(printed) else "read nothing")
    except parser.refusals:
        event("refused")


# --- what an API server answers

GROUPS = (
    '{"items": [{"metadata": {"name": "apps"}, "versions": '
    '[{"version": "v1", "resources": [{"resource": "a", "scope": "Namespaced", "responseKind": {"kind": "A"}}]}]}]}'
)


@given(documents(GROUPS, odd=(*ODD_JSON, *LAX_JSON)))
def test_whatever_an_api_server_says_of_its_kinds(raw: bytes) -> None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):  # what is not is refused before
        with contextlib.suppress(DevtoolsError):
            Discovery(lambda _: document).served()
            event("read")


RESOURCE = {
    "apiVersion": "x.example.com/v1",
    "kind": "Tool",
    "metadata": {"name": "a", "generation": 2, "uid": "u"},
    "spec": {"a": 1},
    "status": {
        "observedGeneration": 1,
        "message": "m",
        "phase": "Ready",
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "Invalid", "message": "m", "observedGeneration": 2},
            {"type": "Stalled", "status": "True", "reason": "x", "message": "y"},
        ],
    },
}
CONTRACTS: tuple[dict[str, Any], ...] = (
    {"condition": "Ready"},
    {"jsonpath": "{.status.phase}", "equals": "Ready"},
    {"jsonpath": "{.status.conditions[?(@.type=='Ready')].status}", "equals": "True"},
    {},
)


@example(b'{"status": "Ready"}', CONTRACTS[0])
@example(b'{"status": {"conditions": {"Ready": true}}}', CONTRACTS[1])
@example(b'{"status": {"conditions": ["Ready"], "observedGeneration": "x"}}', CONTRACTS[0])
@given(documents(json.dumps(RESOURCE), odd=ODD_JSON), st.sampled_from(CONTRACTS))
def test_whatever_an_operator_writes_into_a_status(raw: bytes, asked: dict[str, Any]) -> None:
    """An API server keeps to a custom resource's schema, which may take anything."""
    try:
        document = read_json(raw)
    except ValueError:
        return
    if isinstance(document, dict):
        item = {**RESOURCE, "status": document.get("status", document)}
        contract = replace(Contract(where=Location(file=Path("a")), kind="Tool", name="a"), **asked)
        event("good" if evaluate(contract, item).good else "not yet")
        symptoms(item, ())


FORMS = (Layer, DefaultsFile, Settings, LockFile, ImagesFile)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_pattern_of_a_file_has_its_words(form: type) -> None:
    schema = json.dumps(TypeAdapter(form_of(form)).json_schema())
    patterns = {json.loads(found) for found in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schema)}
    assert patterns - {key_types.NEED, key_types.DURATION} <= key_types.MESSAGES.keys()
