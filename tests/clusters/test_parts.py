"""The parts of the embedded cluster that need no cluster."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.clusters.embedded import cleanup, simulation
from devtools.clusters.embedded.layout import POOL, Layout, Subnet
from devtools.clusters.embedded.names import REAL_LABEL
from devtools.clusters.embedded.node import daemons, image, subnets
from devtools.clusters.ports import FIRST, LAST, free_ports, holder, is_free
from devtools.clusters.provider import choose_provider
from devtools.docker.engine import DockerEngine
from devtools.errors import ConfigError, EnvironmentFault, Interrupted, TimedOut
from devtools.locks.change_lock import locked
from devtools.process.runner import Cancel
from tests.kits.bootstrap import http

MOUNTINFO = """\
28 1 254:0 / / rw - ext4 /dev/vda rw
42 28 254:0 /run/devtools-1/ns /run/devtools-1/ns rw - ext4 /dev/vda rw
65 42 0:4 net:[1] /run/devtools-1/ns/net rw - nsfs nsfs rw
66 28 0:5 / /run/devtools-10/x rw - tmpfs x rw
67 28 0:6 / /home/a\\040b/state/m rw - tmpfs x rw
"""


def test_mounts_are_found_by_whole_names_last_first() -> None:
    found = cleanup.mounts_under(MOUNTINFO, [Path("/run/devtools-1"), Path("/home/a b/state")])
    assert found == ("/home/a b/state/m", "/run/devtools-1/ns/net", "/run/devtools-1/ns")


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("0::/devtools-1/abc\n", True),
        ("3:cpu:/\n2:pids:/devtools-1\n", True),
        ("0::/devtools-10/abc\n", False),
        ("0::/user/devtools-1\n", False),
        ("", False),
    ],
)
def test_membership_of_a_control_group(*, text: str, inside: bool) -> None:
    assert cleanup.in_cgroup(text, "devtools-1") is inside


def test_a_process_is_found_by_its_mark_for_as_long_as_it_lives(tmp_path: Path) -> None:
    ours, others = (Layout(name="dev", state=tmp_path / name) for name in ("a", "ab"))
    with subprocess.Popen(["/bin/sleep", "60"], env=ours.env) as process:
        started = cleanup.Process(pid=process.pid, name="sleep")
        while cleanup.processes(ours) != (started,):  # until it is the program it becomes
            assert process.poll() is None
        assert cleanup.processes(others) == ()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has been told: a zombie
        assert cleanup.processes(ours) == ()


def test_names_are_short_and_differ(tmp_path: Path) -> None:
    one, two = Layout(name="dev", state=tmp_path / "a"), Layout(name="dev", state=tmp_path / "b")
    assert one.key != two.key
    assert len(one.veth) <= 15
    assert len(str(one.runtime / "containerd.sock.ttrpc")) < 107
    assert one.lock.parent == one.state.parent


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(0, 16383), max_size=50))
def test_every_link_lies_in_the_pool_and_meets_no_other(start: int, occupied: set[int]) -> None:
    used = [Subnet.number(number).network for number in occupied]
    number = subnets.choose(start, used, reserved=())
    network = Subnet.number(number).network
    assert network.subnet_of(POOL)
    assert not any(network.overlaps(other) for other in used)
    assert network == Subnet.number(subnets.choose(start, (), reserved=occupied)).network
    assert ipaddress.ip_address(Subnet.number(number).host) in network


def test_only_networks_inside_the_pool_hinder() -> None:
    addresses = {"10.200.0.1": "255.255.255.252", "10.0.0.5": "255.0.0.0", "192.0.2.2": "255.255.255.0"}
    assert [str(network) for network in subnets.networks(addresses)] == ["10.200.0.0/30"]
    with pytest.raises(EnvironmentFault, match="no free addresses"):
        subnets.choose(0, (), reserved=range(16384))


def test_ports_are_free_and_an_occupied_block_is_skipped() -> None:
    first = free_ports(6, 7)
    assert len(first) == 6
    assert all(FIRST <= port < LAST for port in first)
    with socket.create_server(("127.0.0.1", first[2])):
        assert not is_free(first[2])
        assert "(" in holder(first[2])
        assert set(free_ports(6, 7)).isdisjoint(first)
    assert holder(1) == "another program"


def test_the_same_image_each_time(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(b"box")
    (tmp_path / "kubectl").write_bytes(b"ctl")
    made = image.utility_image("localhost/ops:1", tmp_path / "busybox", tmp_path / "kubectl")
    image.write(made, tmp_path / "a.tar")
    (tmp_path / "busybox").touch()
    image.write(made, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type] # it is there
        assert entry["RepoTags"] == ["localhost/ops:1"]
        config = json.load(tar.extractfile(entry["Config"]))  # type: ignore[arg-type] # it is there
        assert config["config"]["User"] == "65532"
        layer = tar.extractfile(entry["Layers"][0])
        with tarfile.open(fileobj=layer) as root:
            names = set(root.getnames())
            assert {"bin/sh", "bin/kubectl", "bin/busybox", "tmp", "etc/passwd"} <= names
            assert root.getmember("tmp").mode == 0o1777
            assert root.getmember("bin/sh").linkname == "busybox"


def test_static_programs(tmp_path: Path, tool: object) -> None:
    import sys

    assert callable(tool)
    assert image.is_static(tool("kubectl"))
    assert not image.is_static(Path(sys.executable).resolve())
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert not image.is_static(tmp_path / "script")


def test_objects_of_ours_are_complete() -> None:
    objects = simulation.base_objects(Path("/v"), 5, ())
    names = {(item["kind"], item["metadata"]["name"]) for item in objects}
    assert {("Stage", "node-initialize"), ("Stage", "pod-ready"), ("Stage", "pod-delete")} <= names
    assert {("StorageClass", "standard"), ("StorageClass", "local-path")} <= names
    assert len(names) == len(objects)
    assert all(simulation.OWNER_LABEL in item["metadata"]["labels"] for item in objects)
    assert "@" not in json.dumps(objects)
    assert {item["kind"] for item in simulation.policies()} == {
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }


def test_only_kinds_that_are_played_are_noticed() -> None:
    stages: list[dict[str, Any]] = [
        {"kind": "Stage", "spec": {"resourceRef": {"apiGroup": "cert-manager.io/v1", "kind": "Issuer"}}},
        {"kind": "Stage", "spec": {"resourceRef": {"apiGroup": "v1", "kind": "Pod"}}},
        {"kind": "Stage", "spec": {"resourceRef": None}},
        {"kind": "Stage"},
        {"kind": "ConfigMap"},
    ]
    assert simulation.custom_kinds(stages) == ("cert-manager.io/Issuer",)
    objects = simulation.base_objects(Path("/v"), 5, simulation.custom_kinds(stages))
    assert '"values": ["cert-manager.io/Issuer"]' in json.dumps(objects)


def test_every_wrong_simulation_file_is_named(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("kind: Stage\napiVersion: kwok.x-k8s.io/v1alpha1\nmetadata: {name: a}\n---\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: Stage\nx: [\n")
    nameless = tmp_path / "nameless.yaml"
    nameless.write_text("kind: Stage\napiVersion: v1\nmetadata: {}\n")
    other = tmp_path / "other.yaml"
    other.write_text("just text\n")
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert [item["metadata"]["name"] for item in simulation.stack_objects([good])] == ["a"]
    with pytest.raises(ConfigError) as caught:
        simulation.stack_objects([good, broken, nameless, other, tmp_path / "absent.yaml", pipe])
    files = [problem.where.file.name for problem in caught.value.problems]
    assert files == ["broken.yaml", "nameless.yaml", "other.yaml", "absent.yaml", "pipe.yaml"]
    assert "it is not a regular file" in caught.value.problems[-1].message
    assert caught.value.problems[0].where.line > 1


def test_the_digest_changes_with_the_configuration() -> None:
    one = simulation.digest([simulation.fake_node(0)])
    assert one == simulation.digest([simulation.fake_node(0)])
    assert one != simulation.digest([simulation.fake_node(1)])


@pytest.mark.parametrize(("prefers_k3d", "auto"), [(True, "k3d"), (False, "kwok")])
def test_the_provider_is_the_one_asked_for(*, prefers_k3d: bool, auto: str) -> None:
    assert choose_provider("auto", prefers_k3d=lambda: prefers_k3d) == auto
    assert choose_provider("", prefers_k3d=lambda: prefers_k3d) == auto
    for name in ("kwok", "k3d", "context"):
        assert choose_provider(name, prefers_k3d=lambda: prefers_k3d) == name
    with pytest.raises(ConfigError, match="unknown provider 'minikube'"):
        choose_provider("minikube", prefers_k3d=lambda: prefers_k3d)


@pytest.fixture
def engine() -> Iterator[str]:
    """A Docker engine's `/version` and `/_ping`."""
    with http({"/_ping": "OK", "/version": {"ApiVersion": "1.41"}}) as port:
        yield f"tcp://127.0.0.1:{port}"


def test_a_docker_engine_that_answers_and_ones_that_do_not(engine: str) -> None:
    assert DockerEngine({"DOCKER_HOST": engine}).answers()
    assert DockerEngine({"DOCKER_HOST": engine}).own_container() == ""
    assert not DockerEngine({"DOCKER_HOST": "tcp://127.0.0.1:1"}).answers()
    assert not DockerEngine({"DOCKER_HOST": "nonsense"}).answers()


def test_a_lock_that_is_held(tmp_path: Path) -> None:
    lines: list[str] = []
    held = locked(tmp_path / "lock", Cancel(), lines.append)
    second = locked(tmp_path / "lock", Cancel(), lines.append, seconds=0.3)
    with held, pytest.raises(TimedOut), second:
        raise AssertionError
    assert lines == ["waiting for another process that is changing the cluster"]
    with locked(tmp_path / "lock", Cancel(), lines.append):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault), locked(tmp_path / "file" / "lock", Cancel(), lines.append):
        raise AssertionError


def test_waiting_for_the_clusters_lock_is_shown_and_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subnets, "RUN", tmp_path)
    layout, cancel, lines = Layout(name="dev", state=tmp_path / "state"), Cancel(), list[str]()

    def progress(line: str) -> None:
        lines.append(line)
        cancel.set("interrupted")

    with locked(tmp_path / "devtools.links.lock", Cancel(), lines.append):
        (lock,) = tmp_path.glob("*.lock")
        assert lock.stat().st_mode & 0o777 == 0o600
        with pytest.raises(Interrupted):
            subnets.reserved_subnet(layout, cancel, progress, reserve=True)
    assert lines == ["waiting for another process that is changing the cluster"]


def test_what_the_real_node_reads() -> None:
    node = daemons.Node(layout=Layout(name="dev", state=Path("/s p")), subnet=Subnet.number(0))
    files = daemons.files(
        node, server="https://10.200.0.1:1", pki=Path("/p"), cni=Path("/c"), snapshotter="native", sandbox="pause:1"
    )
    kubelet = yaml.safe_load(files["kubelet.yaml"])
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["registerWithTaints"] == [{"key": REAL_LABEL, "value": "true", "effect": "NoSchedule"}]
    import tomllib

    containerd = tomllib.loads(files["containerd.toml"])
    assert containerd["root"] == "/s p/node/containerd"
    assert yaml.safe_load(files["kubeconfig"])["clusters"][0]["cluster"]["server"] == "https://10.200.0.1:1"
    start = daemons.kubelet(node, Path("/t/kubelet"))
    assert start.argv[:4] == ("nsenter", f"--mount={node.runtime}/ns/mnt", f"--net={node.runtime}/ns/net", "--")
    made = daemons.make_namespaces(node).stdin
    assert made is not None
    assert b"'\"'\"'/s p/node/tunables/kernel/panic'\"'\"' /proc/sys/kernel/panic" in made
