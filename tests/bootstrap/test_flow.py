"""The whole bootstrap, with doubles of k3d, docker and tilt: what is called, in which order, and when not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.bootstrap.tilt_process import OWNER_VARIABLE
from devtools.commands.bootstrap import command
from devtools.commands.bootstrap.command import Options
from devtools.errors import ExitCode
from tests.kits.bootstrap import Done, Machine, carrying, is_alive
from tests.kits.ports import free_port
from tests.kits.waiting import eventually

QUIET = {"registry": "ready", "cluster": "ready", "builder": "ready", "images": "unused", "specs": "ready"}
ALL = {**QUIET, "tilt": "ready"}
UP = Options(output="json")
MAKE = [
    "k3d cluster list",
    "k3d registry list",
    "k3d registry create",
    "k3d cluster list",
    "k3d registry list",
    "k3d cluster create",
    "k3d kubeconfig get",
    "docker buildx ls",
    "docker buildx create",
    "tilt up --stream",
]


def up(machine: Machine, options: Options = UP, **environ: str) -> Done:
    return machine.run(lambda app: command.bootstrap(app, options), options.output, **environ)


def status(machine: Machine) -> Done:
    return machine.run(lambda app: command.status(app, "json"))


def down(
    machine: Machine, *, keep_cluster: bool = False, registry: bool = False, force: bool = False, **environ: str
) -> Done:
    flags = {"keep_cluster": keep_cluster, "registry": registry, "force": force}
    return machine.run(lambda app: command.down(app, "json", **flags), **environ)


def short(calls: list[str]) -> list[str]:
    """The first three words of each."""
    return [" ".join(call.split()[:3]) for call in calls]


def made(calls: list[str]) -> list[str]:
    """Those that change something, and the questions before each: what is only looked at first is left out."""
    words = short(calls)
    return words[words.index("k3d registry create") - 2 :] if "k3d registry create" in words else words


def test_an_empty_machine_gets_everything_in_order(machine: Machine) -> None:
    done = up(machine)
    assert (done.code, done.states) == (ExitCode.OK, ALL), done.err
    calls = machine.calls()
    assert made(calls) == MAKE
    kubeconfig = machine.root.parent / "state/k3d/demo/kubeconfig"
    assert all(call.endswith(f"KUBECONFIG={kubeconfig}") for call in calls if not call.startswith("k3d"))
    tilt = calls[-1]
    port = machine.environ["TILT_PORT"]
    assert tilt.startswith(f"tilt up --stream --host 127.0.0.1 --port {port} --context k3d-demo")
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    document = done.document
    assert document["ui"] == f"http://127.0.0.1:{port}/"
    assert document["log"] == str(machine.run_directory / "tilt.log")
    assert "Tilt started" in Path(document["log"]).read_text()
    assert os.getsid(machine.pid()) == machine.pid()
    assert (machine.root / ".devtools/layer-specs.json").is_file()


def test_a_second_time_changes_nothing(machine: Machine) -> None:
    up(machine)
    pid = machine.pid()
    machine.calls()
    done = up(machine)
    assert (done.code, done.states) == (ExitCode.OK, ALL)
    assert f"Tilt runs already (pid {pid})" in done.err
    assert set(short(machine.calls())) == {
        *("k3d registry list", "k3d cluster list", "k3d kubeconfig get", "docker buildx version", "docker buildx ls"),
    }
    assert machine.pid() == pid


def test_no_push_is_refused_while_tilt_runs_without_it(machine: Machine) -> None:
    up(machine)
    pid = machine.pid()
    machine.calls()
    refused = up(machine, Options(push=False, output="json"))
    assert refused.code is ExitCode.ENVIRONMENT
    assert f"Tilt (pid {pid}) was started without --no-push and continues to publish" in refused.err
    assert "invoke bootstrap.down --keep-cluster, then: invoke bootstrap --no-push" in refused.err
    assert machine.pid() == pid
    down(machine, keep_cluster=True)
    assert up(machine, Options(push=False, output="json")).code is ExitCode.OK
    assert up(machine, Options(push=False, output="json")).code is ExitCode.OK
    assert "started with --no-push: it is left alone" in up(machine).err


@pytest.mark.parametrize("broken", ["registry-create", "cluster-create", "kubeconfig-get"])
def test_a_half_done_try_is_gone_on_with(machine: Machine, broken: str) -> None:
    failed = up(machine, K3D_FAILS=broken)
    assert failed.code is ExitCode.ENVIRONMENT
    assert "k3d is out of order" in failed.err
    assert not (machine.run_directory / "tilt.pid").exists()
    assert up(machine).states == ALL


def test_a_builder_that_cannot_be_made_is_made_next_time(machine: Machine) -> None:
    failed = up(machine, DOCKER_FAILS="create")
    assert failed.code is ExitCode.ENVIRONMENT
    assert "docker is out of order" in failed.err
    assert status(machine).states == {**QUIET, "builder": "missing", "specs": "missing", "tilt": "missing"}
    machine.calls()
    assert up(machine).states == ALL
    assert "k3d cluster create" not in short(machine.calls())


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"DOCKER_FAILS": "version"}, "docker has no buildx plugin"),
        ({"BUILDX_VERSION": "v0.13.1"}, "docker buildx is 0.13.1, and 0.15 is the oldest that works"),
    ],
    ids=["no plugin", "too old"],
)
def test_without_a_buildx_that_works_there_is_no_builder(
    machine: Machine, environ: dict[str, str], problem: str
) -> None:
    """Debian's docker.io has no plugin."""
    done = up(machine, UP, **environ)
    assert (done.code, done.states) == (ExitCode.OK, {**ALL, "builder": "missing"})
    assert f"warning: {problem}: there will be no builder in the cluster; install docker with buildx" in done.err
    assert "docker buildx ls" not in short(machine.calls())
    assert down(machine, keep_cluster=False, registry=False, force=False, **environ).code is ExitCode.OK


def test_what_is_stopped_is_started(machine: Machine) -> None:
    up(machine)
    down(machine, keep_cluster=True)
    machine.nodes("registry", "exited")
    machine.nodes("server", "exited")
    builders = machine.fake / "builders"
    builders.write_text(builders.read_text().replace("running", "inactive"))
    looked = status(machine)
    assert looked.code is ExitCode.FAILED
    stopped = {"registry": "stopped", "cluster": "stopped", "builder": "stopped", "tilt": "missing"}
    assert looked.states == {**ALL, **stopped}
    machine.calls()
    assert up(machine).states == ALL
    words = short(machine.calls())
    assert {"k3d node start", "k3d cluster start", "docker buildx inspect", "tilt up --stream"} <= set(words)
    assert not {"k3d registry create", "k3d cluster create", "docker buildx create"} & set(words)


def test_status_says_what_is_missing(machine: Machine) -> None:
    empty = status(machine)
    assert empty.code is ExitCode.FAILED
    missing = dict.fromkeys(("registry", "cluster", "builder", "specs", "tilt"), "missing")
    assert empty.states == {**missing, "images": "unused"}
    assert empty.document["next"] == ["invoke bootstrap"]
    assert not machine.run_directory.exists(), "only looked"
    up(machine)
    assert (status(machine).code, status(machine).states) == (ExitCode.OK, ALL)
    (machine.root / "layers/20-more.yaml").write_text("stage: more\nreleases: []\n")
    assert status(machine).states == {**ALL, "specs": "stale"}


def test_down_ends_everything_but_the_registry(machine: Machine) -> None:
    up(machine)
    machine.calls()
    done = down(machine)
    assert done.code is ExitCode.OK
    assert not carrying(f"{OWNER_VARIABLE}={machine.run_directory}"), "what it ran, too"
    words = short(machine.calls())
    assert words.index("docker buildx rm") < words.index("k3d cluster delete"), "its pods go before their cluster"
    assert "k3d registry delete" not in words
    left = {"registry": "ready", "cluster": "missing", "builder": "missing", "tilt": "missing"}
    assert done.states == {**ALL, **left}
    again = down(machine, registry=True)
    assert (again.code, again.states["registry"]) == (ExitCode.OK, "missing")
    assert down(machine, registry=True).code is ExitCode.OK, "nothing is there, and that is fine"


@contextlib.contextmanager
def _run_under_way(machine: Machine, *, of_tilt: bool) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a run lock of the cluster, and takes a moment to end on SIGTERM."""
    state = Path(machine.environ["DEVTOOLS_STATE"])
    environ = {**os.environ, **({OWNER_VARIABLE: str(machine.run_directory)} if of_tilt else {})}
    argv = [sys.executable, "-c", _RUN, str(state / "locks")]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


_RUN = """
import os, pathlib, signal, sys, time
from devtools.process.runner import Cancel
from devtools.locks.holder import Holder
from devtools.locks.run_lock import run_lock
cancel = Cancel()
signal.signal(signal.SIGTERM, lambda *_: cancel.set("SIGTERM"))
note = Holder(what="invoke up", who="anna@laptop", pid=os.getpid(), started="10:00", cluster="k3d demo")
with run_lock(pathlib.Path(sys.argv[1]), "s", note, wait=False, cancel=cancel, say=print):
    print("held", flush=True)
    while not cancel.wait(0.1):
        pass
    time.sleep(1)
"""


def test_down_leaves_a_cluster_alone_on_which_a_run_works(machine: Machine) -> None:
    up(machine)
    machine.calls()
    with _run_under_way(machine, of_tilt=False) as run:
        refused = down(machine)
        expected = f"a run is under way on cluster demo: invoke up by anna@laptop (pid {run.pid}, since 10:00)"
        assert (refused.code, expected in refused.err) == (ExitCode.ENVIRONMENT, True), refused.err
        assert "--force removes the cluster anyway" in refused.err
        assert not {"docker buildx rm", "k3d cluster delete"} & set(short(machine.calls()))
        assert run.poll() is None
        forced = down(machine, force=True)
        assert (forced.code, expected in forced.err) == (ExitCode.OK, True), forced.err
        assert "k3d cluster delete" in short(machine.calls())


def test_down_waits_for_the_runs_of_tilt_to_end(machine: Machine) -> None:
    up(machine)
    with _run_under_way(machine, of_tilt=True) as run:
        done = down(machine)
        assert (done.code, done.states["cluster"]) == (ExitCode.OK, "missing"), done.err
        assert run.wait(120) == 0, "it was asked to end, and could"


def test_down_with_force_does_not_keep_the_cluster(machine: Machine) -> None:
    assert down(machine, force=True, keep_cluster=True).code is ExitCode.CONFIG


def test_down_can_keep_the_cluster(machine: Machine) -> None:
    up(machine)
    pid = machine.pid()
    machine.calls()
    assert down(machine, keep_cluster=True).states == {**ALL, "tilt": "missing"}
    assert not is_alive(pid)
    assert not {"docker buildx rm", "k3d cluster delete"} & set(short(machine.calls()))


def test_a_builder_whose_cluster_is_gone_is_forgotten(machine: Machine) -> None:
    up(machine)
    fails = '[ "$2 $3" = "rm devtools-demo" ] && { echo "ERROR: no route to host" >&2; exit 1; }\n'
    machine.program("docker", (machine.programs / "docker").read_text().replace("case", fails + "case", 1))
    machine.calls()
    assert down(machine).code is ExitCode.OK
    assert any("buildx rm --keep-daemon devtools-demo" in call for call in machine.calls())


def test_all_problems_are_reported_and_nothing_is_changed(machine: Machine) -> None:
    machine.without("tilt")
    machine.environ["DOCKER_HOST"] = f"tcp://127.0.0.1:{free_port()}"
    machine.without("k3d")
    done = up(machine, Options(), DEVTOOLS_PROVIDER="k3d")
    assert done.code is ExitCode.ENVIRONMENT
    assert "2 prerequisites are not met; nothing was changed" in done.err
    assert "no Docker engine answers at tcp://127.0.0.1" in done.err
    assert "k3d is not installed: install k3d 5" in done.err
    assert "warning: tilt is not installed; install it: https://docs.tilt.dev/install.html" in done.err
    assert not (machine.root / ".devtools").exists()


def test_occupied_ports_are_named_with_their_holders(machine: Machine) -> None:
    settings = machine.app().settings.cluster
    tilt = int(machine.environ["TILT_PORT"])
    with (
        socket.create_server(("127.0.0.1", settings.api_port)),
        socket.create_server(("127.0.0.1", settings.registry_port)),
        socket.create_server(("127.0.0.1", tilt)),
    ):
        done = up(machine, Options())
    assert done.code is ExitCode.ENVIRONMENT
    for port, hint in (
        (settings.api_port, "cluster.api_port"),
        (settings.registry_port, "cluster.registry_port"),
        (tilt, f"TILT_PORT={tilt + 1} invoke bootstrap"),
    ):
        (line,) = [line for line in done.err.splitlines() if f"port {port} is in use by" in line]
        assert f"({os.getpid()})" in line
        assert hint in line
    assert not {"create", "start"} & {word for call in machine.calls() for word in call.split()}


def test_tilt_that_ends_early_shows_its_last_lines(machine: Machine) -> None:
    done = up(machine, Options(), TILT_DOES="dies")
    assert done.code is ExitCode.ENVIRONMENT
    assert "Tilt ended before its UI answered" in done.err
    assert "  | Error: Tiltfile:3:1: no such thing" in done.err
    assert not (machine.run_directory / "tilt.pid").exists()
    assert up(machine).states == ALL, "and the next one goes on"
    assert "no such thing" in (machine.run_directory / "tilt.log.old").read_text()


def test_a_stale_pid_file_is_replaced(machine: Machine) -> None:
    machine.run_directory.mkdir(parents=True)
    (machine.run_directory / "tilt.pid").write_text(f"{os.getpid()}\n")  # somebody else's by now: ours
    assert up(machine).states == ALL
    assert machine.pid() != os.getpid()


def test_a_foreign_tilt_on_the_same_cluster_is_left_alone(machine: Machine) -> None:
    port = machine.environ["TILT_PORT"]
    argv = [str(machine.programs / "tilt"), "up", "--port", port, "--context", "k3d-demo"]
    with subprocess.Popen(argv, env=machine.environ, start_new_session=True, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout
            other.stdout.readline()
            _until_listens(int(port))
            done = up(machine)
            assert done.states == ALL, done.err
            assert f"pid {other.pid}, not started by invoke bootstrap" in done.out
            assert "tilt up --stream" not in short(machine.calls())
            assert "it is left alone" in down(machine, keep_cluster=True).err
            assert other.poll() is None
        finally:
            os.killpg(other.pid, 9)
            for pid in carrying(f"FAKE={machine.fake}"):
                os.kill(pid, 9)


def test_a_tilt_of_another_cluster_is_in_the_way(machine: Machine) -> None:
    up(machine)
    done = up(machine, Options(), DEVTOOLS_CLUSTER="other")
    assert done.code is ExitCode.ENVIRONMENT
    assert f"Tilt (pid {machine.pid()}) runs for k3d-demo, not for k3d-other" in done.err
    assert "invoke bootstrap.down --keep-cluster, then: invoke bootstrap" in done.err


def test_a_tiltfile_that_does_not_load_fails_the_bootstrap(machine: Machine) -> None:
    error = "Traceback (most recent call last):\n  /repo/Tiltfile:3:5: in <toplevel>\nError in fail: no such thing"
    (machine.fake / "tiltfile").write_text(error)
    done = up(machine)
    assert (done.code, done.states) == (ExitCode.CONFIG, {**QUIET, "tilt": "broken"}), done.err
    detail = done.document["stages"][-1]["detail"]
    assert detail.endswith("did not load:\nError in fail: no such thing\n  /repo/Tiltfile:3:5: in <toplevel>")
    assert "waiting for Tilt to load the Tiltfile" in done.err
    assert is_alive(machine.pid()), "it loads the Tiltfile by itself once that is corrected"
    again = up(machine, Options())
    assert again.code is ExitCode.CONFIG
    assert "/repo/Tiltfile:3:5: in <toplevel>" in again.out
    assert "Tilt then loads it by itself" in again.out
    looked = status(machine)
    assert (looked.code, looked.states["tilt"]) == (ExitCode.FAILED, "broken")
    (machine.fake / "tiltfile").unlink()
    assert (status(machine).code, up(machine).code) == (ExitCode.OK, ExitCode.OK)


def test_status_names_what_does_not_notice_changed_files(machine: Machine) -> None:
    up(machine)
    assert status(machine).code is ExitCode.OK
    reason = "filewatch init: Hit OS limits creating a watcher.\nRun 'sysctl fs.inotify.max_user_instances' to check"
    metadata = {"name": "local:infra:20-x", "annotations": {"tilt.dev/resource": "infra:20-x"}}
    fine = {"metadata": {"name": "configs:(Tiltfile)"}, "status": {"monitorStartTime": "2026-11-30T03:06:18Z"}}
    (machine.fake / "watches").write_text(
        json.dumps({"kind": "List", "items": [fine, {"metadata": metadata, "status": {"error": reason}}]})
    )
    looked = status(machine)
    assert (looked.code, looked.states["tilt"]) == (ExitCode.FAILED, "broken")
    assert f"does not notice changed files of infra:20-x:\n{reason}" in looked.document["stages"][-1]["detail"]


def test_status_shows_limits_of_inotify_that_are_low(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "inotify_limits", lambda: {"max_user_watches": 8192, "max_user_instances": 512})
    looked = status(machine)
    (finding,) = looked.document["findings"]
    assert finding["check"] == "inotify"
    assert "warning: fs.inotify.max_user_watches is 8192" in looked.err


def test_a_killed_tilt_is_noticed_while_its_command_goes_on(machine: Machine) -> None:
    up(machine)
    pid = machine.pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid))
    looked = status(machine)
    assert (looked.code, looked.states["tilt"]) == (ExitCode.FAILED, "stopped")
    detail = looked.document["stages"][-1]["detail"]
    assert detail.startswith("Tilt has ended, and commands that it started still run (pid ")
    again = up(machine)
    assert (again.code, again.states) == (ExitCode.OK, ALL)
    assert "still run (pid" in again.err
    assert machine.pid() != pid
    os.kill(machine.pid(), signal.SIGKILL)
    down(machine, keep_cluster=True)
    assert status(machine).states["tilt"] == "missing"


def test_tilt_gets_the_token_and_the_tiltfile_its_flags(machine: Machine) -> None:
    machine.program("scripts", "")
    (machine.root / "scripts").mkdir()
    (machine.root / "scripts/buf-build-push.sh").write_text("#!/bin/sh\n")
    assert "warning: BUF_TOKEN is not set" in up(machine, Options(dry_run=True)).err
    up(machine, Options(push=False, output="json"), BUF_TOKEN="x" * 7)
    assert machine.calls()[-1].split(" KUBECONFIG")[0].endswith("--context k3d-demo -- --no-push")
    assert "token 7" in (machine.run_directory / "tilt.log").read_text()


def test_a_missing_image_is_reported_and_tilt_starts_anyway(machine: Machine) -> None:
    image = "{name: docker.io/acme/tools, tag: '1', purpose: tests, archive: tools.tar}"
    (machine.root / "images.yaml").write_text(f"images:\n  - {image}\n")
    printed = up(machine, Options(dry_run=True))
    assert "docker load --input" in printed.out.partition("# images\n")[2].partition("# specs")[0]
    done = up(machine)
    assert done.code is ExitCode.ENVIRONMENT
    assert done.states == {**ALL, "images": "broken"}
    assert "docker.io/acme/tools:1" in done.out
    assert is_alive(machine.pid())


def test_without_tilt_it_says_what_to_do_instead(machine: Machine) -> None:
    machine.without("tilt")
    done = up(machine)
    assert (done.code, done.states) == (ExitCode.OK, {**QUIET, "tilt": "missing"})
    assert "invoke up" in done.document["next"]
    assert "https://docs.tilt.dev/install.html" in done.out
    assert status(machine).code is ExitCode.FAILED
    assert status(machine).document["next"] == ["invoke up"]


def test_dry_run_touches_nothing_and_pastes_to_the_same(machine: Machine) -> None:
    """The printed script, given to sh(1), calls the same programs with the same words and input as a bootstrap does."""
    printed = up(machine, Options(dry_run=True))
    assert printed.code is ExitCode.OK
    assert not (machine.root / ".devtools").exists()
    assert not (machine.root.parent / "state").exists()
    machine.calls()
    _paste(machine, printed.out)
    _until_listens(int(machine.environ["TILT_PORT"]))
    pasted, config = machine.calls(), (machine.fake / "config.json").read_text()
    state = machine.root.parent / "state/k3d/demo"
    files = {path.name: path.read_bytes() for path in state.iterdir()}
    assert machine.pid() in [pid for pid in (machine.pid(),) if is_alive(pid)]
    down(machine)
    machine.run(lambda app: command.down(app, "json", registry=True))
    machine.calls()
    up(machine)
    real = machine.calls()
    assert made(pasted) == made(real) == MAKE
    assert pasted[-len(MAKE) :] == real[-len(MAKE) :]
    assert (machine.fake / "config.json").read_text() == config
    for name in ("kubeconfig", "buildkitd.toml"):
        assert (state / name).read_bytes() == files[name]


def test_dry_run_knows_what_is_there(machine: Machine) -> None:
    up(machine)
    printed = up(machine, Options(dry_run=True, output="json"))
    shown = [" ".join(item["argv"][:3]) for item in printed.document["commands"]]
    assert [word.rpartition("/")[2] for word in shown[:-1]] == [
        *("k3d cluster list", "k3d registry list") * 2,
        *("k3d kubeconfig get", "docker buildx ls"),
    ]
    assert printed.document["commands"][-1]["argv"][-1] == "specs"


def test_without_docker_the_embedded_cluster_is_planned(machine: Machine) -> None:
    machine.without("k3d")
    printed = up(machine, Options(dry_run=True))
    assert "DEVTOOLS_PROVIDER=kwok" in printed.out
    assert "cluster.create" in printed.out
    assert "tilt up --stream" in printed.out
    assert "k3d is not installed; the embedded cluster is used instead" in printed.err


@pytest.mark.parametrize("port", ["0", "70000", "x", "\u00b2"])
def test_a_port_that_is_none_is_refused(machine: Machine, port: str) -> None:
    done = up(machine, Options(), TILT_PORT=port)
    assert done.code is ExitCode.CONFIG
    assert "TILT_PORT" in done.err


def _paste(machine: Machine, script: str) -> None:
    path = machine.fake / "pasted.sh"
    path.write_text(script)
    # not with our own runner: that ends whatever a command leaves in the background
    subprocess.run(["sh", "-eu", str(path)], env=machine.environ, check=True, timeout=300, start_new_session=True)


def _until_listens(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(listens)
