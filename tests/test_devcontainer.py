"""The devcontainer: its file is what implementors read, and its script brings up any checkout, again and again."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from devtools.bootstrap.tilt_commands import PORT
from devtools.process.runner import Result
from tests.test_repo_scripts import ROOT, Checkout

FILE = ROOT / ".devcontainer/devcontainer.json"
SCRIPT = ".devcontainer/post-create.sh"
PINS = ".devcontainer/checksums.txt"
INVOKE = '#!/bin/sh\necho "invoke $* k3d=$(command -v k3d) tilt=$(command -v tilt)" >> "$CALLS"\n'


def read_jsonc(text: str) -> Any:
    """JSON with comments, as editors read it; what is in strings is none."""
    return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*', lambda found: found[1] or "", text))


def test_everything_is_pinned() -> None:
    found = read_jsonc(FILE.read_text("utf-8"))
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:1-3\.1[1-9]-bookworm", found["image"])
    (feature,) = found["features"]
    assert re.fullmatch(r"ghcr\.io/devcontainers/features/docker-in-docker:\d+\.\d+\.\d+", feature)
    script = (ROOT / SCRIPT).read_text("utf-8")
    assert re.search(r"^K3D_VERSION=5\.\d+\.\d+$", script, re.MULTILINE)
    assert re.search(r"^TILT_VERSION=0\.37\.\d+$", script, re.MULTILINE)
    found = versions()
    pinned = dict(re.findall(r"(?m)^[0-9a-f]{64}  (\S+)/(\S+)$", (ROOT / PINS).read_text("utf-8")))
    assert set(pinned) == {f"k3d/v{found['K3D']}", f"tilt/v{found['TILT']}"}
    lines = (ROOT / PINS).read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 4  # two programs, two architectures


def test_it_forwards_tilt_and_keeps_what_takes_long() -> None:
    found = read_jsonc(FILE.read_text("utf-8"))
    assert PORT in found["forwardPorts"]
    assert found["remoteUser"] == "vscode"
    targets = [re.search(r"target=([^,]+),type=volume", mount)[1] for mount in found["mounts"]]  # type: ignore[index]
    assert targets == ["/home/vscode/.cache/ameide-devtools", "/home/vscode/.local/state/ameide-devtools"]
    for key in ("postCreateCommand", "postStartCommand"):
        path = ROOT / found[key].split()[0]
        assert path.is_file()
        assert path.stat().st_mode & 0o111


class Container(Checkout):
    """A checkout with the script, a home, and release pages on loopback."""

    def __init__(self, tmp: Path, pages: Path, port: int) -> None:
        super().__init__(tmp)
        self.program(self.root / ".venv/bin", "invoke", INVOKE)
        (self.root / PINS).write_text("")
        self.program(self.bin, "docker", "#!/bin/sh\nexit ${DOCKER_SAYS:-0}\n")
        self.home = tmp / "home"
        self.home.mkdir()
        self.pages = pages
        self.port = port

    def create(self, *words: str, **env: str) -> Result:
        page = f"http://127.0.0.1:{self.port}"
        names = {"K3D_RELEASES": f"{page}/k3d", "TILT_RELEASES": f"{page}/tilt"}
        return self.run(SCRIPT, *words, HOME=str(self.home), **{"DOCKER_WAIT": "1", **names, **env})

    def release(self, name: str, version: str, file: str, data: bytes, *, pin: bool = True) -> None:
        """Put a file onto the pages, and pin it as what it is."""
        directory = self.pages / name / f"v{version}"
        directory.mkdir(parents=True)
        (directory / file).write_bytes(data)
        if pin:
            with (self.root / PINS).open("a", encoding="utf-8") as sink:
                sink.write(f"{hashlib.sha256(data).hexdigest()}  {name}/v{version}/{file}\n")


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    pages = tmp_path / "pages"
    pages.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(pages)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Container(tmp_path, pages, server.server_port)
    server.shutdown()
    server.server_close()
    thread.join()


def versions() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)_VERSION=(\S+)$", (ROOT / SCRIPT).read_text("utf-8"), re.MULTILINE))


def archive(name: str, text: str) -> bytes:
    """A .tar.gz with one program."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def arch(*, k3d: bool) -> str:
    import platform

    names = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "arm64")}
    return names[platform.machine()][0 if k3d else 1]


def test_the_programs_are_checked_and_installed_for_this_user(container: Container) -> None:
    found = versions()
    container.release("k3d", found["K3D"], f"k3d-linux-{arch(k3d=True)}", b"#!/bin/sh\n")
    name = f"tilt.{found['TILT']}.linux.{arch(k3d=False)}.tar.gz"
    container.release("tilt", found["TILT"], name, archive("tilt", "#!/bin/sh\n"))
    result = container.create()
    assert result.ok, result.stderr
    place = container.home / ".local/bin"
    assert container.calls() == [f"invoke bootstrap k3d={place}/k3d tilt={place}/tilt"]
    for step in ("==> Python packages", "==> k3d", "==> Docker", "==> invoke bootstrap"):
        assert step in result.stderr


def test_another_file_than_the_release_lists_is_not_used(container: Container) -> None:
    container.release("k3d", versions()["K3D"], f"k3d-linux-{arch(k3d=True)}", b"evil", pin=False)
    (container.root / PINS).write_text((ROOT / PINS).read_text())
    result = container.create()
    assert result.ok
    assert "is not what .devcontainer/checksums.txt pins" in result.stderr
    assert not (container.home / ".local/bin/k3d").exists()
    assert container.calls() == ["invoke bootstrap k3d= tilt="]


def test_without_network_and_docker_it_goes_on(container: Container) -> None:
    result = container.create(K3D_RELEASES="http://127.0.0.1:9", TILT_RELEASES="http://127.0.0.1:9", DOCKER_SAYS="1")
    assert result.ok
    for line in ("k3d could not be had", "tilt could not be had", "Docker does not answer"):
        assert line in result.stderr
    assert container.calls() == ["invoke bootstrap k3d= tilt="]


def test_again_changes_nothing(container: Container) -> None:
    container.program(container.bin, "k3d", "#!/bin/sh\n")
    container.program(container.bin, "tilt", "#!/bin/sh\n")
    first, second = container.create(), container.create("--no-push")
    assert first.ok
    assert second.ok
    assert f"k3d is there: {container.bin}/k3d" in second.stderr
    lines = (container.home / ".bashrc").read_text().splitlines()
    assert lines == [f". '{container.root}/scripts/activate'"]
    assert [call.split(" k3d=")[0] for call in container.calls()] == ["invoke bootstrap", "invoke bootstrap --no-push"]


def test_a_container_that_starts_again_is_not_set_up_again(container: Container) -> None:
    result = container.create("--start")
    assert result.ok
    assert "==> Python packages" not in result.stderr
    assert container.calls()[0].startswith("invoke bootstrap")


def test_a_bootstrap_that_fails_is_the_scripts_failure(container: Container) -> None:
    container.program(container.root / ".venv/bin", "invoke", "#!/bin/sh\nexit 4\n")
    assert container.create().returncode == 4
