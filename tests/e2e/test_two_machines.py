"""Two runs of one stack that share no state directory: as from two machines, or a laptop and CI."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.clusters.provider import Cluster
from devtools.commands.cluster import runs_on_cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster
HOOK = "    before: [{run: [timeout, '600', sh, -c, 'until test -e go; do sleep 0.1; done'], timeout: 10m}]\n"


def _elsewhere(repo: Repo) -> dict[str, str]:
    """The environment of a run with another state directory, on the same cluster."""
    state = repo.path.parent / "elsewhere"
    state.mkdir()
    (state / "clusters").symlink_to(Path(repo.environ["DEVTOOLS_STATE"]) / "clusters")
    return {"DEVTOOLS_STATE": str(state)}


def _lease(repo: Repo) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{repo.namespace}/leases/devtools-{repo.namespace}"


def test_a_run_on_another_machine_is_awaited_or_replaced(repo: Repo, cluster: Cluster) -> None:
    repo.edit("layers/10-base.yaml", "    contract:", f"{HOOK}    contract:")
    kube, elsewhere = Kube(cluster.kubeconfig, cluster.context, Cancel()), _elsewhere(repo)
    first = repo.start("layer", "10")
    eventually(lambda: kube.get(_lease(repo)))
    refused = repo.invoke("layer", "10", "--no-wait", env=elsewhere)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert refused.code == 4, refused.text
    printed = " ".join(refused.text.split())
    assert "another run holds the cluster's run lock: invoke layer 10-base by " in printed
    assert f"(pid {first.pid}, since " in printed
    assert kube.get(_lease(repo)), "it was killed and gave up nothing"

    repo.write("go", "")  # to what the killed one left, too
    typed = repo.invoke("layer", "10", env=elsewhere)
    assert typed.code == 0, typed.text
    assert "waiting for another run" not in typed.text, "its process is known to be gone"
    assert kube.get(_lease(repo)) is None


def test_a_run_that_finds_nothing_to_do_takes_no_lease(repo: Repo, cluster: Cluster) -> None:
    assert repo.invoke("layer", "10").code == 0
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    held = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": f"devtools-{repo.namespace}"},
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 600},
    }
    kube.create(f"/apis/coordination.k8s.io/v1/namespaces/{repo.namespace}/leases", held)
    assert repo.invoke("layer", "10", "--no-wait").code == 0
    refused = repo.invoke("layer", "10", "--no-wait", "--force")
    assert refused.code == 4
    assert "a run by somebody" in " ".join(refused.text.split())


def test_readers_name_a_run_from_elsewhere_which_goes_on(repo: Repo, cluster: Cluster) -> None:
    repo.edit("layers/10-base.yaml", "    contract:", f"{HOOK}    contract:")
    kube, elsewhere = Kube(cluster.kubeconfig, cluster.context, Cancel()), _elsewhere(repo)
    first = repo.start("layer", "10")
    eventually(lambda: kube.get(_lease(repo)) is not None)
    planned = repo.invoke("plan", "--output", "json", env=elsewhere)
    drifted = repo.invoke("drift", env=elsewhere)
    found = runs_on_cluster(replace(repo.app, environ={**repo.environ, **elsewhere}))
    own = runs_on_cluster(replace(repo.app, environ=repo.environ))
    first.send_signal(signal.SIGINT)
    first.communicate()
    message = "another run is in progress, so this output may soon be out of date: invoke layer 10-base by "
    assert [item["message"].startswith(message) for item in planned.document["notices"]] == [True]
    assert f"(pid {first.pid}, since " in planned.document["notices"][0]["message"]
    assert message in " ".join(drifted.err.split())
    for runs in (found, own):
        assert [run for run in runs if f"(pid {first.pid}, since " in run], runs
    assert repo.invoke("plan", "--output", "json", env=elsewhere).document["notices"] == []


OTHER = """\
  - name: other
    namespace: NS-b
    chart: platform/conf
    needs: [NS/conf]
"""


@pytest.mark.parametrize("first_has", [1, 2], ids=["one-namespace-first", "two-namespaces-first"])
def test_branches_in_different_namespaces_exclude_each_other(repo: Repo, cluster: Cluster, first_has: int) -> None:
    repo.edit("layers/10-base.yaml", "    contract:", f"{HOOK}    contract:")
    one = (repo.path / "layers/10-base.yaml").read_text()
    branches = {1: one, 2: one + OTHER.replace("NS", repo.namespace)}
    kube, elsewhere = Kube(cluster.kubeconfig, cluster.context, Cancel()), _elsewhere(repo)
    repo.write("layers/10-base.yaml", branches[first_has])
    first = repo.start("layer", "10")
    lease = _lease(repo).replace(f"/{repo.namespace}/", "/default/" if first_has > 1 else f"/{repo.namespace}/")
    eventually(lambda: kube.get(lease) is not None or first.poll() is not None)
    repo.write("layers/10-base.yaml", branches[3 - first_has])
    planned = repo.invoke("plan", "--output", "json", env=elsewhere)
    refused = repo.invoke("layer", "10", "--no-wait", env=elsewhere)
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert refused.code == 4, refused.text
    assert "another run holds the cluster's run lock: invoke layer 10-base by " in " ".join(refused.text.split())
    assert [f"(pid {first.pid}, since " in item["message"] for item in planned.document["notices"]] == [True]
    for namespace in ("default", repo.namespace):
        assert kube.get(_lease(repo).replace(f"/{repo.namespace}/", f"/{namespace}/")) is None, "both runs are over"
