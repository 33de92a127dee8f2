"""The embedded control plane without a real node: made, found, started, diagnosed, removed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.clusters.embedded import lifecycle
from devtools.clusters.embedded.names import COMPONENTS
from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode, Interrupted
from tests.clusters.closed import check_closed_to_others, check_listeners, check_that_an_open_door_is_found
from tests.kits.clusters import Machine
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster

STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: %s}
spec:
  resourceRef: {apiGroup: v1, kind: ConfigMap}
  selector: {matchLabels: {play: %s}}
  steps: [{patch: {root: data, type: merge, template: "played: 'yes'"}}]
"""


def kill(machine: Machine, *names: str) -> None:
    for name in names:
        for pid in machine.pids(name):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda name=name: not machine.pids(name))  # type: ignore[misc] # mypy has no type for defaults


def test_its_life(machine: Machine, tmp_path: Path) -> None:
    stages = tmp_path / "stages.yaml"
    stages.write_text(STAGE % ("one", "one"))
    machine.stages = (stages,)
    provider = machine.provider()
    with pytest.raises(EnvironmentFault, match="there is no cluster") as caught:
        provider.find()
    assert caught.value.hint == "invoke cluster.create"
    check_two_at_once_make_one(machine)
    cluster = provider.find()
    assert (cluster.real_node, dict(cluster.smoke_values), cluster.simulated) == ("", {}, True)
    assert "127.0.0.1" in cluster.kubeconfig.read_text()
    assert provider.status().notes[-1] == "no real node: switched off"
    if os.geteuid() == 0:  # to become another user
        check_that_an_open_door_is_found(machine)
        check_closed_to_others(machine, real=False)
    else:
        check_listeners(machine, real=False)
    check_simulated_pods_say_what_they_are(machine)
    check_again_does_nothing(machine)
    check_stages_follow_their_files(machine, stages)
    check_number_of_nodes(machine)
    check_stopped_is_started(machine)
    check_a_dead_component_is_named_and_a_silent_one_awaited(machine)
    check_a_damaged_kubeconfig_is_written_anew(machine)
    check_another_versions_is_named(machine)
    check_damaged_is_named(machine)
    check_an_interrupted_making_is_cleared_away_and_made_anew(machine)


def check_two_at_once_make_one(machine: Machine) -> None:
    failures: list[DevtoolsError] = []

    def make() -> None:
        try:
            machine.provider().ensure(machine.say)
        except DevtoolsError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(machine.pids("kube-apiserver")) == 1
    assert machine.lines.count("waiting for another process that is changing the cluster") == 1


def check_simulated_pods_say_what_they_are(machine: Machine) -> None:
    machine.kubectl("run", "played", "--image=anything", "--restart=Never")
    machine.kubectl("wait", "--for=condition=Ready", "pod/played", "--timeout=240s")
    assert machine.kubectl("logs", "played") == "This pod is simulated: no container runs, so it has no log.\n"
    kubectl = (machine.tool("kubectl"), "--kubeconfig", machine.layout.kubeconfig)
    tried = machine.run(*kubectl, "exec", "played", "--", "id")
    assert not tried.ok
    assert "This pod is simulated: no container runs." in tried.stderr


def check_again_does_nothing(machine: Machine) -> None:
    machine.lines.clear()
    before = machine.processes()
    machine.provider().ensure(machine.say)
    assert machine.processes() == before
    assert machine.lines == []


def check_stages_follow_their_files(machine: Machine, stages: Path) -> None:
    names = {item["metadata"]["name"] for item in machine.get("stages")["items"]}
    assert {"one", "node-initialize", "pod-ready"} <= names
    stages.write_text(STAGE % ("two", "two"))
    machine.provider().ensure(machine.say)
    names = {item["metadata"]["name"] for item in machine.get("stages")["items"]}
    assert "two" in names
    assert "one" not in names


def check_number_of_nodes(machine: Machine) -> None:
    machine.nodes = 3
    machine.provider().ensure(machine.say)
    assert machine.provider().status().nodes == 3
    machine.kubectl("apply", "-f", "-", stdin="{apiVersion: v1, kind: Node, metadata: {name: lost}}")
    status = machine.provider().status()
    assert (status.state, status.problem) == ("broken", "not ready: node lost")
    machine.kubectl("delete", "node", "lost")
    machine.nodes = 1
    machine.provider().ensure(machine.say)
    assert [item["metadata"]["name"] for item in machine.get("nodes")["items"]] == ["simulated-0"]


def check_stopped_is_started(machine: Machine) -> None:
    """As after a restart of the machine."""
    machine.kubectl("create", "configmap", "kept")
    kill(machine, *COMPONENTS)
    assert machine.provider().status().state == "stopped"
    with pytest.raises(EnvironmentFault, match="is stopped"):
        machine.provider().find()
    machine.provider().ensure(machine.say)
    assert machine.get("configmap", "kept")["metadata"]["name"] == "kept"
    for _ in range(2):
        machine.provider().stop(machine.say)
    assert (machine.provider().status().state, machine.pids("etcd")) == ("stopped", [])
    machine.provider().ensure(machine.say)
    assert machine.get("configmap", "kept")["metadata"]["name"] == "kept"


def check_a_dead_component_is_named_and_a_silent_one_awaited(machine: Machine) -> None:
    """As after the system ended something for lack of memory: a look reports it, and nothing stored is lost.

    Where all runs and nobody answers, to delete it is not the first thing to be told.
    """
    kill(machine, "kube-apiserver")
    before = machine.processes()
    status = machine.provider().status()
    assert status.state == "broken"
    assert "kube-apiserver" in status.problem
    with pytest.raises(EnvironmentFault, match=r"kube-apiserver of cluster \S+ is not running") as caught:
        machine.provider().find()
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
    assert caught.value.hint == "invoke cluster.create"
    assert machine.processes() == before
    stand_in = machine.root / "kube-apiserver"
    stand_in.symlink_to("/bin/sleep")
    with subprocess.Popen([stand_in, "600"], env=machine.layout.env) as silent:
        for look in (machine.provider().find, lambda: machine.provider().ensure(machine.say)):
            with pytest.raises(
                EnvironmentFault, match=r"is not ready: .* does not answer: Connection (refused|reset by peer)"
            ) as caught:
                look()
            assert caught.value.hint.startswith("wait a moment")
            assert caught.value.hint.endswith("invoke cluster.delete && invoke cluster.create")
        silent.kill()
    machine.provider().ensure(machine.say)
    assert any("kube-apiserver of cluster" in line and "restarting it" in line for line in machine.lines)
    assert machine.get("configmap", "kept")["metadata"]["name"] == "kept"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_text(""),
    "cut off": lambda path: path.write_text(path.read_text()[:100]),
    "of another server": lambda path: path.write_text(re.sub(r"(127\.0\.0\.1):\d+", r"\1:1", path.read_text())),
    "of nobody": lambda path: path.write_text(path.read_text().replace('"client-', '"x-')),
    "a pipe": lambda path: [step(path) for step in (Path.unlink, os.mkfifo)],
}


def check_a_damaged_kubeconfig_is_written_anew(machine: Machine) -> None:
    """Everything it says can be known again; who only looks says so, and changes nothing."""
    kubeconfig = machine.layout.kubeconfig
    good, pids = kubeconfig.read_text(), machine.processes()
    for damage in DAMAGES.values():
        damage(kubeconfig)
        with pytest.raises(EnvironmentFault, match="kubeconfig") as caught:
            machine.provider().find()
        assert caught.value.hint == "invoke cluster.create"
        machine.provider().ensure(machine.say)
        assert kubeconfig.read_text() == good
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert machine.processes() == pids


def check_another_versions_is_named(machine: Machine) -> None:
    """One whose etcd was open to every user of the machine does not go on living unnoticed."""
    good, pids = machine.layout.ready.read_text(), machine.processes()
    machine.layout.ready.write_text('{"link": 5, "joinable": true, "nodes": 1, "simulation": "", "real_node": ""}')
    for look in (machine.provider().find, lambda: machine.provider().ensure(machine.say)):
        with pytest.raises(EnvironmentFault, match="created by another version of devtools") as caught:
            look()
        assert caught.value.hint == "invoke cluster.delete && invoke cluster.create"
    assert machine.provider().status().state == "broken"
    assert machine.processes() == pids
    machine.layout.ready.write_text(good)


def check_damaged_is_named(machine: Machine) -> None:
    before = machine.processes()
    machine.layout.ready.write_text("{")
    with pytest.raises(EnvironmentFault, match="damaged") as caught:
        machine.provider().ensure(machine.say)
    assert caught.value.hint == "invoke cluster.delete && invoke cluster.create"
    assert machine.processes() == before


def check_an_interrupted_making_is_cleared_away_and_made_anew(machine: Machine) -> None:
    """Killed in the middle: no record, and some of a control plane that runs."""
    machine.layout.ready.unlink()
    old = machine.pids("etcd")
    status = machine.provider().status()
    assert (len(old), status.state, status.hint) == (1, "broken", "invoke cluster.create")
    machine.provider().ensure(machine.say)
    assert any("interrupted" in line for line in machine.lines)
    assert machine.pids("etcd") != old
    assert len(machine.pids("etcd")) == len(machine.pids("kube-apiserver")) == 1


def faulty(machine: Machine, name: str, fault: str, times: int) -> Path:
    """A component whose first `times` processes do `fault`; writes a line to `NAME.starts` at each start."""
    wrapper = machine.root / name
    starts = machine.root / f"{name}.starts"
    count = f'echo >>{starts}; [ "$(wc -l <{starts})" -gt {times} ] || {fault}'
    runs = f'case "$*" in *--kubeconfig*) {count} ;; esac'  # not `--version`
    wrapper.write_text(f'#!/bin/bash\n{runs}\nexec -a "$0" {machine.tool(name)} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def test_components_that_fail_during_creation_are_restarted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller manager that ends, as it does if the API server is too slow for it, and a kwok that does nothing."""
    monkeypatch.setattr(lifecycle, "NODES_READY_IN", 2.0)
    monkeypatch.setattr(lifecycle, "_ATTEMPTS", 30)
    real = machine.tool
    manager = faulty(machine, "kube-controller-manager", "exit 1", times=1)
    kwok = faulty(machine, "kwok", 'exec -a "$0" sleep 1000', times=2)  # kwokctl starts one, the Stages another
    wrappers = {"kube-controller-manager": manager, "kwok": kwok}
    machine.tool = lambda name: wrappers.get(name) or real(name)
    machine.provider().ensure(machine.say)
    assert len((machine.root / "kwok.starts").read_text()) >= 3
    assert len((machine.root / "kube-controller-manager.starts").read_text()) >= 2
    assert machine.provider().status().state == "running"


def test_an_interrupt_leaves_nothing_behind(machine: Machine) -> None:
    def interrupt() -> None:
        try:
            eventually(lambda: machine.pids("etcd"))
        finally:
            machine.cancel.set("test")

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(Interrupted):
        machine.provider().ensure(machine.say)
    interrupter.join()
    assert machine.traces() == {}


def test_a_tool_that_fails_is_quoted_and_nothing_stays(machine: Machine, tmp_path: Path) -> None:
    bad = tmp_path / "bad-etcd"
    bad.write_text("#!/bin/sh\necho 'Error: this etcd is no good' >&2\nexit 1\n")
    bad.chmod(0o755)
    good = machine.tool
    machine.tool = lambda name: bad if name == "etcd" else good(name)
    with pytest.raises(EnvironmentFault, match="kwokctl could not create cluster"):
        machine.provider().ensure(machine.say)
    assert machine.traces() == {}


def test_a_state_directory_that_cannot_be_made(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    machine.root = tmp_path / "file"
    with pytest.raises(EnvironmentFault, match="cannot"):
        machine.provider().ensure(machine.say)
    machine.root = tmp_path
