"""Whatever answers where Vault, a Docker engine, an API server or a pod should, it is read or refused in a sentence.

They are asked over real connections: a library in between is part of what is tried.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from platform_hooks.vault import Address, VaultStore

from devtools.base.image_names import parse
from devtools.docker.endpoint import find_endpoint
from devtools.docker.engine import DockerEngine
from devtools.docker.images import DockerImages
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.helm.labels import (
    ANNOTATION_OBJECTS,
    LABEL_DIGEST,
    LABEL_LAYER,
    LABEL_READY,
    LABEL_STACK,
    LABEL_TESTED,
)
from devtools.kube.client import Kube
from devtools.model import Action, Stack
from devtools.planning.plan import Selection, down_plan, make_plan
from devtools.planning.uninstall import with_sweeps
from devtools.process.runner import Cancel
from devtools.releases.facts import observe
from devtools.releases.recovery import basis, left, recovery, revisions
from tests.config.test_stack import GOOD
from tests.kits.api_script import KUBECONFIG
from tests.kits.fuzzing import LAX_JSON, ODD_JSON, SLOW, documents, scratch
from tests.kits.stack import load, repository, write

ODD = (*ODD_JSON, *LAX_JSON)


@dataclass(kw_only=True)
class Answer:
    """What is said to a request whose path holds none of `known`, byte for byte."""

    raw: bytes = b""
    known: tuple[tuple[str, bytes], ...] = ()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request, length = self.rfile.readline(), 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        printed: Answer = self.server.answer  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):  # who asked may have hung up
            self.wfile.write(next((raw for path, raw in printed.known if path.encode() in request), printed.raw))


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = False  # each is waited for: it closes its connection


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = False


@contextmanager
def answering(server: socketserver.BaseServer, answer: Answer) -> Iterator[Answer]:
    server.answer = answer  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield answer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def http(body: bytes, status: int = 200, kind: str = "application/json", more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nConnection: close\r\n".encode()
    return head + more + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + end


STATUSES = (*[200] * 6, 201, 204, 301, 400, 401, 403, 404, 405, 409, 410, 412, 418, 422, 500, 502, 503, 504, 599)
HEADERS = (
    *(b"",) * 6,
    b"Content-Encoding: gzip\r\n",
    b"Retry-After: 0\r\n",
    b"Location: x\r\n",
    b"X: \xff\r\n",
    b"\xff\r\n",
)
KINDS = (*["application/json"] * 5, "text/html", "", "application/json; charset=x", "text/plain; charset=utf-16")
ENDS = (*(b"0\r\n\r\n",) * 3, b"", b"zz\r\n", b"-1\r\n", b"ffffff\r\n{", b"5\r\n{")


@st.composite
def answers(draw: st.DrawFn, *goods: str) -> bytes:
    """HTTP, most of the time, with a body that is nearly good."""
    body = draw(documents(*goods, odd=ODD))
    match draw(st.integers(0, 11)):
        case 0:
            return bytes(draw(st.binary(max_size=60)))
        case 1:
            whole = http(body)
            return whole[: draw(st.integers(0, len(whole)))]
        case 2 | 3:
            at = draw(st.integers(0, len(body)))
            return chunked(body[:at], body[at:], end=draw(st.sampled_from(ENDS)))
        case _:
            status, kind = draw(st.sampled_from(STATUSES)), draw(st.sampled_from(KINDS))
            return http(body, status, kind, draw(st.sampled_from(HEADERS)))


@pytest.fixture(scope="module")
def tcp() -> Iterator[tuple[int, Answer]]:
    server = _Tcp(("127.0.0.1", 0), _Handler)
    with answering(server, Answer()) as answer:
        yield server.server_address[1], answer


# --- Vault

STORED = '{"data": {"data": {"password": "x"}, "metadata": {"version": 3, "deletion_time": "", "destroyed": false}}}'
REFUSED = '{"errors": ["no handler for route \\"secret/data/a\\". route entry not found."], "data": {"metadata": {}}}'


@SLOW
@example(b"")
@example(http(b"", 404))
@example(http(b"<html>sign in</html>", kind="text/html"))
@example(http(b"[]"))
@example(http(b"{}"))
@example(http(b'{"data": {"data": [], "metadata": {"version": "x"}}}'))
@given(answers(STORED, REFUSED))
def test_whatever_answers_for_vault(tcp: tuple[int, Answer], raw: bytes) -> None:
    port, answer = tcp
    answer.raw = raw
    store = VaultStore(Address(url=f"http://127.0.0.1:{port}"), "token", "secret")
    try:
        retained = store.read("a")
        event("read")
        assert isinstance({**retained.data}, dict)
        assert isinstance(retained.version, int)
    except DevtoolsError as error:
        event(type(error).__name__)
    try:
        store.write("a", {"b": "c"}, 1)
    except DevtoolsError as error:
        event(type(error).__name__)


# --- a Docker engine

PING = (("/_ping", http(b"OK", kind="text/plain")), ("/version", http(b'{"ApiVersion": "1.41"}')))
CONTAINERS = '[{"Id": "a", "Names": ["/web"], "Ports": [{"PublicPort": 80, "PrivatePort": 80}, {"PrivatePort": 1}]}]'
INSPECTED = '{"Id": "sha256:0", "RepoDigests": ["a/b@sha256:1"], "Containers": {"a": {}}, "ExitCode": 0, "Name": "n"}'
STREAM = '{"status": "a", "progressDetail": {}}', '{"aux": {"Digest": "sha256:0"}}', '{"error": "denied"}'
IMAGE = parse("docker.io/acme/x:1")
CALLS: dict[str, tuple[Callable[[DockerEngine, DockerImages, Path], object], tuple[str, ...]]] = {
    "ports": (lambda engine, _, __: engine.published(), (CONTAINERS,)),
    "own container": (lambda engine, _, __: engine.own_container(), (INSPECTED,)),
    "join": (lambda engine, _, __: engine.join("n", "c"), (INSPECTED,)),
    "held": (lambda _, images, __: images.find(IMAGE), (INSPECTED,)),
    "pull": (lambda _, images, __: images.pull(IMAGE, timeout=5), STREAM),
    "push": (lambda _, images, __: images.push("localhost:1/x:1", timeout=5), STREAM),
    "load": (lambda _, images, home: images.load(home / "a", timeout=5), STREAM),
    "save": (lambda _, images, home: images.save("x", home / "b", timeout=5), ("[]",)),
    "execute": (lambda _, images, __: images.execute("node", ("ctr",), timeout=5), (INSPECTED,)),
}
# The SDK leaves a connection to the collector when what came over it could not be read.
LEAKS = pytest.mark.filterwarnings("ignore:.*unclosed <socket:")


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[Path, Answer]]:
    with TemporaryDirectory(prefix="dt-") as home:
        (Path(home) / "a").write_bytes(b"archive")
        with answering(_Unix(f"{home}/s", _Handler), Answer(known=PING)) as answer:
            yield Path(home), answer


@LEAKS
@given(name=st.sampled_from(sorted(CALLS)), data=st.data())
def test_whatever_a_docker_engine_answers(engine: tuple[Path, Answer], name: str, data: st.DataObject) -> None:
    home, answer = engine
    call, goods = CALLS[name]
    answer.raw = data.draw(answers(*goods))
    environ = {"DOCKER_HOST": f"unix://{home}/s"}
    try:
        call(DockerEngine(environ), DockerImages(environ, Cancel()), home)
        event(f"{name}: answered")
    except DevtoolsError as error:
        event(f"{name}: {type(error).__name__}")


@LEAKS
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        http(b"<html>", kind="text/html"),
        http(b"[]"),
        http(b"5"),
        http(b'{"Id": 5, "RepoDigests": [null], "Ports": "x"}'),
        http(b'[{"Ports": [{"PublicPort": "x"}]}]'),
        chunked(b'{"status": "a"}\n', end=b""),
        chunked(b'{"status": "a"}\n', end=b"zz\r\n"),
        chunked(b"5\n"),
        chunked(b'{"status"'),
    ],
    ids=["nothing", "a page", "a list", "a number", "another shape", "a port", "cut", "no chunk", "numbers", "half"],
)
def test_an_engine_that_answers_something_else(engine: tuple[Path, Answer], name: str, raw: bytes) -> None:
    home, answer = engine
    answer.raw = raw
    environ = {"DOCKER_HOST": f"unix://{home}/s"}
    try:
        CALLS[name][0](DockerEngine(environ), DockerImages(environ, Cancel()), home)
    except DevtoolsError as error:
        assert isinstance(error, EnvironmentFault)  # noqa: PT017 - it may also be read as an answer


DOCKER = '{"currentContext": "a", "auths": {}}'
CONTEXT = '{"Name": "a", "Endpoints": {"docker": {"Host": "unix:///nowhere/docker.sock", "SkipTLSVerify": false}}}'
FILED = "contexts/meta/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb/meta.json"


@example(b'{"currentContext": "\\ud800"}', b"")
@given(documents(DOCKER, odd=ODD), documents(CONTEXT, odd=ODD))
def test_whatever_dockers_configuration_holds(config: bytes, context: bytes) -> None:
    with scratch() as directory:
        write(Path(directory), {"config.json": config, FILED: context})
        for more in ({}, {"DOCKER_CONTEXT": "a"}):
            environ = {"DOCKER_CONFIG": directory, **more}
            try:
                found = find_endpoint(environ, Path("/nowhere"))
            except EnvironmentFault:
                event("refused")
                continue
            event(found.source.partition(" ")[0])
            if found.socket:  # another would be looked for in the network
                assert DockerEngine(environ, Path("/nowhere")).problem()


# --- an API server, or what stands in front of it

OBJECT = {"metadata": {"name": "a", "namespace": "n"}, "data": {"a": "YQ=="}, "spec": {"nodeName": "b"}}
LIST = {"metadata": {"continue": ""}, "items": [OBJECT], "gitVersion": "v1.34.4"}
STATUS = {"kind": "Status", "reason": "Forbidden", "message": "no", "details": {"causes": [{"message": "x"}]}}
ASKED: dict[str, Callable[[Kube], object]] = {
    "an object": lambda kube: kube.get("/api/v1/x"),
    "a list": lambda kube: [item.get("metadata") for item in kube.items("/api/v1/x")],
    "metadata": lambda kube: [item.get("name") for item in kube.metadata("/api/v1/x")],
    "kinds": lambda kube: kube.served(),
    "version": lambda kube: kube.version(),
    "create": lambda kube: kube.create("/api/v1/x", OBJECT),
    "delete": lambda kube: kube.delete("/api/v1/x"),
    "log": lambda kube: list(kube.lines("/api/v1/x")),
}


@example("a list", http(b'{"items": ["a"]}'))
@example("metadata", http(b'{"items": [{"metadata": null}], "metadata": []}'))
@example("metadata", http(b'{"metadata": {"continue": "a"}}'))
@example("log", http(b"ab", 400, more=b"Content-Encoding: gzip\r\n"))
@given(name=st.sampled_from(sorted(ASKED)), raw=answers(*map(json.dumps, (OBJECT, LIST, STATUS))))
def test_whatever_answers_for_an_api_server(tcp: tuple[int, Answer], name: str, raw: bytes) -> None:
    port, answer = tcp
    answer.raw = raw
    with scratch() as directory:
        path = Path(directory) / "kubeconfig"
        path.write_text(KUBECONFIG.format(port=port))
        kube = Kube(path, "c", Cancel(), retry_for=0)
        try:
            ASKED[name](kube)
            event(f"{name}: answered")
        except DevtoolsError as error:
            event(f"{name}: {type(error).__name__}")
        finally:
            kube.connections.pool.clear()


# --- the records of releases, which are Secrets: whoever may write those may write anything into their labels

INVENTORY = '[["v1", "ConfigMap", "ameide", "a"], ["v1", "Nope", "", "b"], ["x/v1", "A", "n", "c"]]'
KINDS_SERVED = {
    "items": [
        {
            "versions": [
                {"version": "v1", "resources": [{"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}}]}
            ]
        }
    ]
}
HELMS = ("deployed", "failed", "superseded", "uninstalled", "uninstalling", "pending-install", "pending-upgrade", "x")
NUMBERED = ("1", "2", "10", "0", "-1", "", "x", "1.5", "\u0663", "\u00b2", "9" * 63)
LABELS: dict[str, tuple[str, ...]] = {  # the good one first
    "name": ("web", "db", "gone", ""),
    "status": HELMS,
    "version": NUMBERED,
    LABEL_LAYER: ("20-app", "99-gone", ""),
    LABEL_STACK: ("shop", "other", ""),
    **dict.fromkeys((LABEL_DIGEST, LABEL_READY, LABEL_TESTED), ("d" * 40, "e" * 40, "")),
}


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """The metadata of one of Helm's records, with a few of its labels changed or taken out."""
    labels: dict[str, str | None] = {name: values[0] for name, values in LABELS.items()}
    for name in draw(st.lists(st.sampled_from(sorted(LABELS)), max_size=4)):
        labels[name] = draw(st.sampled_from((None, *LABELS[name])))
    made: dict[str, Any] = {"name": "s", "namespace": draw(st.sampled_from(("ameide", "ameide", "data")))}
    if printed := {name: value for name, value in labels.items() if value is not None}:
        made["labels"] = printed
    if draw(st.booleans()):
        inventory: bytes = draw(st.just(INVENTORY.encode()) | documents(INVENTORY, odd=ODD))
        made["annotations"] = {ANNOTATION_OBJECTS: inventory.decode("utf-8", "replace")}
    return made


@pytest.fixture(scope="module")
def shop() -> Iterator[Stack]:
    with scratch() as directory:
        yield load(repository(Path(directory), GOOD))


@SLOW
@given(st.lists(records(), max_size=4))
def test_whatever_the_records_of_releases_say(
    tcp: tuple[int, Answer], shop: Stack, listed: list[dict[str, Any]]
) -> None:
    port, answer = tcp
    page = http(json.dumps({"items": [{"metadata": record} for record in listed]}).encode())
    kinds = http(json.dumps(KINDS_SERVED).encode())
    answer.known = (("/secrets?", page), ("/api ", kinds), ("/apis ", http(b'{"items": []}')))
    answer.raw = http(b'{"items": [{"metadata": {"name": "a", "namespace": "ameide"}}]}')
    with scratch() as directory:
        path = Path(directory) / "kubeconfig"
        path.write_text(KUBECONFIG.format(port=port))
        kube = Kube(path, "c", Cancel(), retry_for=0)
        try:
            facts = observe(kube)
        finally:
            answer.known = ()
            kube.connections.pool.clear()
    everything = Selection(layers=tuple(layer.name for layer in shop.layers))
    digests = {release.id: "d" * 40 for release in shop.releases()}
    actions = {step.action for step in make_plan(shop, everything, facts, digests).steps}
    down = with_sweeps(down_plan(shop, everything, facts), facts, crds=True, force=False)
    event(f"{', '.join(sorted(actions))}; down: {len(down.steps)}")
    assert {Action.UNINSTALL} >= {step.action for step in down.steps}
    for release, found in revisions(listed).items():
        fact = facts.releases[release]
        assert found[-1].number == fact.revision
        basis(found)
    assert recovery(left(listed), listed).notice("failed")
