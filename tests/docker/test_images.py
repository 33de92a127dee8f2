"""An engine that does not answer in time, or at all; a real one is asked in tests/images."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread, Timer

import docker  # noqa: F401 - the first import may take longer than the calls below
import pytest

from devtools.base.image_names import parse
from devtools.docker.images import DockerImages, StoredImage
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Cancel

IMAGE = parse("docker.io/acme/x:1")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An engine that tells its version, and then keeps silent or breaks off."""

    daemon_threads = False  # each is waited for: it closes its connection
    over: Event
    breaks: bool = False


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path.endswith(("/version", "/_ping")):
            body = json.dumps({"ApiVersion": "1.41"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif not self.server.breaks:
            self.server.over.wait(600)

    def do_POST(self) -> None:
        self.do_GET()

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with TemporaryDirectory(prefix="dt-") as home, Server(f"{home}/docker.sock", Handler) as made:
        made.over = Event()
        thread = Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()


def images(server: Server, cancel: Cancel) -> DockerImages:
    return DockerImages({"DOCKER_HOST": f"unix://{server.server_address!s}"}, cancel)


CALLS: dict[str, Callable[[DockerImages, Path], object]] = {
    "pull": lambda engine, _: engine.pull(IMAGE, timeout=0.5),
    "push": lambda engine, _: engine.push("localhost:1/x:1", timeout=0.5),
    "save": lambda engine, home: engine.save("x", home / "x.tar", timeout=0.5),
    "execute": lambda engine, _: engine.execute("node", ("ctr",), timeout=0.5),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_silence_ends_in_time(call: Callable[[DockerImages, Path], object], server: Server, tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match=r"the Docker engine did not \w+ .+ in 0.5 s"):
        call(images(server, Cancel()), tmp_path)


def test_an_interrupt_ends_silence(server: Server) -> None:
    cancel = Cancel()
    Timer(0.3, lambda: cancel.set("interrupted by Ctrl-C")).start()
    with pytest.raises(Interrupted, match="Ctrl-C"):
        images(server, cancel).pull(IMAGE, timeout=600)


def test_a_connection_that_breaks_is_a_sentence(server: Server) -> None:
    server.breaks = True
    with pytest.raises(EnvironmentFault, match=r"the Docker engine could not look for image docker\.io/acme/x:1: "):
        images(server, Cancel()).find(IMAGE)


@pytest.mark.parametrize(
    ("known", "digest"),
    [
        (("acme/x@sha256:1", "localhost:5550/docker.io/acme/x@sha256:2"), "sha256:1"),
        (("docker.io/acme/x@sha256:1",), "sha256:1"),
        (("quay.io/acme/x@sha256:1", "<none>@<none>"), ""),
        ((), ""),
    ],
)
def test_the_digest_is_that_of_the_same_name(known: tuple[str, ...], digest: str) -> None:
    held = StoredImage(id="sha256:0", digests=tuple(item.replace("sha256:", "sha256:" + "0" * 63) for item in known))
    assert held.digest(IMAGE) == digest.replace("sha256:", "sha256:" + "0" * 63)
