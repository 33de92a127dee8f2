"""Whatever files hold and tools print, it is read or refused in a sentence: HYPOTHESIS_PROFILE=nightly tries 10,000."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.app.buf_token import find_token
from devtools.charts.lock import load_lock
from devtools.clients.discovery import Discovery
from devtools.clients.kubeconfig import read_credentials
from devtools.errors import ConfigError, DevtoolsError
from devtools.process import Result
from devtools.stack.model import ReleaseId
from devtools.stack.settings import load_settings
from devtools.stack.values import merge
from devtools.tools import buf, buildx, ctr, helm, helm_applied, helm_refusals, k3d, kwokctl, versions
from tests.stack.kit import load, repository, write
from tests.stack.test_config import GOOD

WORDS = (
    *("name", "version", "metadata", "labels", "annotations", "namespace", "kind", "items", "status", "manifest"),
    *("hooks", "apiVersion", "charts", "publisher", "repository", "sha256", "contract", "cluster", "provider"),
    *("clusters", "users", "contexts", "user", "context", "server", "token", "resources", "versions", "scope"),
    *("releases", "values", "helm", "timeout", "serversRunning", "nodes", "role", "State", "path", "start_line"),
    *("spec", "conditions", "replicas", "containerStatuses", "state", "waiting", "reason", "message", "type"),
)
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=14,
)
BYTES = st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!<>|\n\t '\"#?%=~1.", max_size=80).map(str.encode)


def damaged(good: bytes, seed: int) -> bytes:
    """Something good with a few bytes, lines or words changed."""
    dice, raw = random.Random(seed), bytearray(good)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(raw))
        match dice.randrange(3):
            case 0:
                raw[at] = dice.choice(b"ab:-[]{}&*!<>|\n\t '\"#?,0\xff")
            case 1:
                del raw[at : at + dice.randint(1, 20)]
            case _:
                raw[at:at] = dice.choice([b"null", b"[]", b"{}", b"1", b": ", b"- ", b'"', b"\n"])
        raw = raw or bytearray(b"\n")
    return bytes(raw)


def texts(good: str) -> st.SearchStrategy[bytes]:
    """Bytes, documents as JSON, and damaged copies of what is good."""
    whole = st.integers(0, 2**32).map(lambda seed: damaged(good.encode(), seed))
    return BYTES | DOCUMENTS.map(lambda item: json.dumps(item).encode()) | whole


# --- files

LOCK = """\
charts:
  - publisher: acme
    name: tool
    version: 1.0.0
    repository: https://charts.example.com
    sha256: 0000000000000000000000000000000000000000000000000000000000000000
    license: MIT
    contract: {crds: [{group: a.example.com, kind: Tool, versions: [v1]}], workloads: []}
"""
FILES = {
    "devtools.yaml": "name: shop\ncluster: {provider: kwok, nodes: 3}\npaths: {charts: charts}\n",
    "layers/_defaults.yaml": GOOD["layers/_defaults.yaml"],
    "layers/20-app.yaml": GOOD["layers/20-app.yaml"],
    "environments/_shared/environment.yaml": GOOD["environments/_shared/environment.yaml"],
    "environments/local/20-app/web.yaml": "replicas: 3\nimage: {tag: c}\n",
    "charts/platform/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n",
    "charts/platform/web/values.yaml": "replicas: 1\nimage: {tag: a, name: img}\n",
    "charts/third_party/lock.yaml": LOCK,
}


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield repository(Path(directory), {**GOOD, **FILES})


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_whatever_a_file_of_a_repository_holds(root: Path, name: str, data: st.DataObject) -> None:
    good = (root / name).read_bytes()
    write(root, {name: data.draw(texts(FILES[name]))})
    refused: ConfigError | None = None
    try:
        _read_all(root)
    except ConfigError as error:
        refused = error
    finally:
        (root / name).write_bytes(good)
    for problem in refused.problems if refused else ():
        assert problem.where.line > 0
        assert problem.where.column > 0
        assert not problem.where.file.is_absolute()


def _read_all(root: Path) -> None:
    """What a run reads before it looks for a cluster."""
    stack = load(root)
    settings = load_settings(root)
    load_lock(settings.charts, settings.root)
    for release in stack.releases():
        merge(release, root=stack.root)


@given(texts("BUF_TOKEN=abc\nexport OTHER='x y' # z\n"))
def test_whatever_an_env_file_holds(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / ".env").write_bytes(raw)
        with contextlib.suppress(ConfigError):
            find_token({}, Path(directory))


KUBECONFIG = yaml.safe_dump(
    {
        "apiVersion": "v1",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": "YQ=="}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
)


@given(texts(KUBECONFIG))
def test_whatever_a_kubeconfig_holds(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kubeconfig"
        path.write_bytes(raw)
        with contextlib.suppress(DevtoolsError):
            read_credentials(path, "x")


# --- what tools print

MANIFEST = """\
---
# Source: a/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: a, annotations: {helm.sh/hook: test}, labels: {x: y}}
data: {a: b}
"""
REFUSED = """\
Error: UPGRADE FAILED: server-side apply failed for object ns/a apps/v1, Kind=Deployment: conflict occurred while \
applying object ns/a apps/v1, Kind=Deployment: Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: \
.spec.replicas
"""
CLUSTERS = (
    '[{"name": "a", "serversCount": 1, "serversRunning": 1, "nodes": [{"name": "k3d-a-server-0", "role": "server", '
    '"State": {"Running": true}, "runtimeLabels": {"devtools": "x"}}]}]'
)


def _record(said: str) -> dict[str, Any]:
    packed = base64.b64encode(base64.b64encode(gzip.compress(said.encode(errors="replace")))).decode()
    return {"metadata": {"namespace": "ns", "name": "x"}, "data": {"release": packed}}


def _printed(said: str) -> Result:
    return Result(returncode=1, stdout=said, stderr=said)


PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "helm upgrade": (lambda said: helm.parse_upgrade(said, "ns"), json.dumps({"version": 1, "manifest": MANIFEST})),
    "helm manifest": (lambda said: helm.parse_manifest(said, "ns"), MANIFEST),
    "helm hooks": (helm.parse_tests, MANIFEST),
    "helm failure": (helm.parse_failure, REFUSED),
    "helm refusals": (helm_refusals.refusals, REFUSED),
    "helm values": (helm_refusals.without_values, 'Invalid value: {"a": "b"}: field is immutable'),
    "helm kinds": (helm.missing_kinds, 'no matches for kind "A" in version "b/v1"'),
    "helm record": (
        lambda said: helm_applied.applied(_record(said), ReleaseId("ns", "x")),
        json.dumps({"name": "x", "manifest": MANIFEST, "config": {}, "version": 1, "info": {"status": "deployed"}}),
    ),
    "k3d clusters": (k3d.parse_clusters, CLUSTERS),
    "k3d registries": (k3d.parse_registries, CLUSTERS.replace("server", "registry")),
    "k3d error": (k3d.first_error, "INFO[0000] x\nERRO[0001] y\nFATA[0002] z\n"),
    "k3d kubeconfig": (lambda said: k3d.kubeconfig(said, "https://127.0.0.1:1"), KUBECONFIG),
    "kwokctl": (kwokctl.messages, 'time="x" level=ERROR msg="y" err="z"\n'),
    "ctr images": (ctr.parse_images, "REF TYPE DIGEST SIZE PLATFORMS LABELS\na:1 x sha256:0 1.0 MiB linux/amd64 -\n"),
    "buf findings": (lambda said: buf.findings(_printed(said)), '{"path":"a.proto","start_line":1,"type":"X"}\n'),
    "buf commit": (lambda said: buf.commit(_printed(said), "buf.build/a/b"), "buf.build/a/b:0123456789abcdef\n"),
    "buildx": (buildx.builders, '["a", "a", "kubernetes", "running", ""]\n'),
    "a version": (versions.read_version, "v1.34.4+gabc\n"),
}


PROMISED = {"k3d clusters", "k3d registries", "k3d kubeconfig", "ctr images", "buildx"}  # ValueError, which is caught


@pytest.mark.parametrize("tool", PARSERS)
@given(data=st.data())
def test_whatever_a_tool_prints(tool: str, data: st.DataObject) -> None:
    parse, good = PARSERS[tool]
    said = data.draw(texts(good)).decode("utf-8", "backslashreplace")
    with contextlib.suppress(DevtoolsError, *((ValueError,) if tool in PROMISED else ())):
        parse(said)


# --- what an API server answers

GROUPS = (
    '{"items": [{"metadata": {"name": "apps"}, "versions": '
    '[{"version": "v1", "resources": [{"resource": "a", "scope": "Namespaced", "responseKind": {"kind": "A"}}]}]}]}'
)


@given(texts(GROUPS))
def test_whatever_an_api_server_says_of_its_kinds(raw: bytes) -> None:
    try:
        document = json.loads(raw)
    except ValueError:
        return
    if isinstance(document, dict):  # what is not is refused before
        with contextlib.suppress(DevtoolsError):
            Discovery(lambda _: document).served()
