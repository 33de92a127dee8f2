"""The real node, on a real machine: it runs pods, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devtools.clusters.embedded.names import SMOKE_VALUES
from devtools.clusters.embedded.node.daemons import TUNABLES
from devtools.clusters.embedded.node.real_node import missing_packages, obstacle
from tests.clusters.closed import check_closed_to_others
from tests.kits.clusters import Machine
from tests.kits.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.real]


def job(name: str, script: str, **spec: object) -> str:
    """A Job on the real node, as the chart of smoke tests makes it of the provider's values."""
    container = {
        "name": "c",
        "image": SMOKE_VALUES["image"],
        "imagePullPolicy": SMOKE_VALUES["imagePullPolicy"],
        "command": ["sh", "-euc", script],
    }
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": SMOKE_VALUES["nodeSelector"],
        "tolerations": SMOKE_VALUES["tolerations"],
        "containers": [container],
        **spec,
    }
    return yaml.safe_dump(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }
    )


def host_settings() -> dict[str, str]:
    """What a kubelet and a kube-proxy change on a machine that does not hide itself from them."""
    settings = {key: Path("/proc/sys", key).read_text() for key in TUNABLES}
    return {**settings, "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text()}


def firewall(machine: Machine) -> str:
    result = machine.run("iptables-save")
    assert result.ok, result.stderr
    return "".join(line for line in result.stdout.splitlines(keepends=True) if not line.startswith("#"))


@pytest.fixture
def neighbour(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    """A second cluster on the machine, removed whatever happens."""
    other = Machine(tool=machine.tool, root=tmp_path / "other")
    yield other
    other.provider().delete(other.say)
    assert other.traces() == {}


def test_the_life_of_a_real_node_beside_another_cluster(machine: Machine, neighbour: Machine) -> None:
    before = (host_settings(), firewall(machine), machine.traces())
    assert before[2] == {}
    provider = machine.provider(real="auto")

    cluster = provider.ensure(machine.say)
    assert cluster.real_node == "real-0", machine.lines
    assert dict(cluster.smoke_values) == SMOKE_VALUES
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert (host_settings(), firewall(machine)) == before[:2]

    status = provider.status()
    assert (status.state, status.nodes, status.real_node) == ("running", 2, "real-0")
    assert any("real node real-0 Ready" in note for note in status.notes)

    check_jobs(machine)
    check_closed_to_others(machine, real=True)
    assert neighbour.provider(real="auto").ensure(neighbour.say).real_node == "real-0"
    check_restart(machine)
    pids = machine.processes()
    provider.delete(machine.say)
    assert machine.traces() == {}
    assert pids  # the container that slept on, its shim, what was not killed
    assert (host_settings(), firewall(machine)) == before[:2]
    check_works(neighbour)  # whatever crashed and went beside it
    neighbour.provider().delete(neighbour.say)
    assert (host_settings(), firewall(machine), neighbour.traces()) == before
    provider.delete(machine.say)
    assert provider.status().state == "absent"


def check_jobs(machine: Machine) -> None:
    """Scripts run for real: they reach the API server, are refused all other network at once, and fail when wrong."""
    machine.kubectl("create", "clusterrolebinding", "view", "--clusterrole=view", "--serviceaccount=default:default")
    good = """
        kubectl get namespace default -o name
        test "$(id -u)" != 0
        ! nc -w 600 10.244.7.7 80
        ! nc -w 600 192.0.2.9 80
        ! nslookup example.org
    """
    machine.kubectl("apply", "-f", "-", stdin=job("good", good))
    machine.kubectl("apply", "-f", "-", stdin=job("wrong", "kubectl get nodez"))
    machine.kubectl("wait", "--for=condition=Complete", "job/good", "--timeout=240s")
    machine.kubectl("wait", "--for=condition=Failed", "job/wrong", "--timeout=240s")
    assert "namespace/default" in machine.kubectl("logs", "job/good")
    assert "nodez" in machine.kubectl("logs", "job/wrong")
    machine.kubectl("run", "elsewhere", "--image=anything", "--restart=Never")
    machine.kubectl("wait", "--for=condition=Ready", "pod/elsewhere", "--timeout=240s")
    assert machine.get("pod", "elsewhere")["spec"]["nodeName"].startswith("simulated-")
    assert "simulated" in machine.kubectl("logs", "elsewhere")


def check_works(machine: Machine) -> None:
    assert machine.provider().status().state == "running"
    machine.kubectl("apply", "-f", "-", stdin=job("still", "true"))
    machine.kubectl("wait", "--for=condition=Complete", "job/still", "--timeout=240s")


def check_restart(machine: Machine) -> None:
    """A node whose programs were killed is started again, and works."""
    machine.kubectl("apply", "-f", "-", stdin=job("sleeper", "sleep 1000"))
    eventually(lambda: machine.get("job", "sleeper")["status"].get("ready"))
    for name in ("kubelet", "containerd"):
        for pid in machine.pids(name):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not machine.pids("kubelet"))
    assert machine.provider(real="auto").find().real_node == ""
    cluster = machine.provider(real="auto").ensure(machine.say)
    assert cluster.real_node == "real-0", machine.lines
    machine.kubectl("apply", "-f", "-", stdin=job("again", "kubectl version"))
    machine.kubectl("wait", "--for=condition=Complete", "job/again", "--timeout=240s")
    for name in ("kubelet", "containerd", "kube-apiserver", "kwok-controller"):
        for pid in machine.pids(name):
            os.kill(pid, signal.SIGKILL)


INSIDE = """
import sys
from pathlib import Path
from tests.kits.clusters import Machine
machine = Machine(tool=lambda name: Path(sys.argv[3], name).resolve(), root=Path(sys.argv[1]), name=sys.argv[2])
cluster = machine.provider(real="auto").ensure(print)
print("REAL", cluster.real_node)
machine.kubectl("apply", "-f", "-", stdin=Path(sys.argv[4]).read_text())
machine.kubectl("wait", "--for=condition=Complete", "job/alone", "--timeout=240s")
print("DONE")
"""


def test_a_cluster_on_loopback_only_outlives_its_maker(machine: Machine, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    names = ("kwokctl", "kwok", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    for name in (*names, "kubelet", "kube-proxy", "kubectl"):
        (tools / name).symlink_to(machine.tool(name))
    manifest = tmp_path / "job.yaml"
    manifest.write_text(job("alone", "kubectl version"))
    script = 'ip link set lo up; cd "$1"; shift; exec "$@"'
    inside = (sys.executable, "-c", INSIDE, tmp_path, machine.name, tools, manifest)
    result = machine.run(
        "unshare", "--net", "sh", "-euc", script, "sh", Path(__file__).parents[2], *inside, timeout=600
    )
    assert "REAL real-0" in result.stdout, result.stdout + result.stderr
    assert "DONE" in result.stdout, result.stdout + result.stderr
    assert {"etcd", "kube-apiserver", "kubelet"} <= {
        Path(argv[0]).name for argv in machine.processes().values() if argv
    }


def test_this_machine_lacks_nothing() -> None:
    assert missing_packages() == ()
    assert obstacle(is_root=True) == ""
    assert "root" in obstacle(is_root=False)
