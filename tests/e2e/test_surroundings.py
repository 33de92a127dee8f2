"""Odd surroundings: pipes that break, disks that are full, locales, closed streams, names, places, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import psutil
import pytest

from devtools.app import orphans
from devtools.app.orphans import marked
from devtools.clusters.provider import Cluster
from devtools.errors import EnvironmentFault
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.e2e.test_runs import SLOW, with_mark
from tests.kits.repository import Repo
from tests.kits.waiting import eventually

INVOKE = str(Path(sys.executable).parent / "invoke")
NOWHERE = {"DEVTOOLS_CLUSTER": "nothing-here"}


def _sh(repo: Repo, line: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
    """A line as typed into a shell; `$INVOKE` is the program."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=cwd or repo.path,
        env={**repo.environ, **NOWHERE, "INVOKE": INVOKE, **(env or {})},
        capture_output=True,
        timeout=300,
        check=False,
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert "Traceback" not in out + err, out + err
    assert "Exception ignored" not in out + err, out + err
    return done.returncode, out, err


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("$INVOKE layers | head -1", 0, ""),
        ("PYTHONUNBUFFERED=1 $INVOKE values conf | true", 0, ""),
        ("PYTHONUNBUFFERED=1 $INVOKE layers --output json | true", 0, ""),
        ("$INVOKE layers --output json | true", 0, ""),
        ("$INVOKE plan > /dev/full", 4, "No space left on device"),
        ("$INVOKE layers --output json > /dev/full", 4, "No space left on device"),
        ("$INVOKE layers >&-", 0, ""),
        ("$INVOKE layers 2>&-", 0, ""),
        ("$INVOKE layers <&-", 0, ""),
        ("$INVOKE layers --env no <&- >&- 2>&-", 2, ""),
        ("$INVOKE layer no-such-layer 2>&1 >/dev/null | head -c 1", 2, ""),
    ],
)
def test_streams_that_are_closed_full_or_not_read(offline: Repo, line: str, code: int, says: str) -> None:
    got, out, err = _sh(offline, line)
    assert (got, says in err) == (code, True), out + err


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_terminals_that_cannot_show_everything(offline: Repo, encoding: str) -> None:
    offline.write("environments/local/10-base/conf.yaml", "say: grüße, 世界\n")
    env = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for words in ("layers", "plan", "values conf", "layer zürich"):
        code, out, err = _sh(offline, f"$INVOKE {words}", env)
        assert code == (2 if "zürich" in words else 0), out + err
        assert "in devtools itself" not in err


@pytest.mark.parametrize("task", ["up", "layer 10", "layers", "plan", "toolchain", "cluster.create", "cluster.status"])
def test_an_unknown_output_format_is_refused_first(offline: Repo, task: str) -> None:
    code, out, err = _sh(offline, f"$INVOKE {task} --output yaml")
    assert (code, out) == (2, ""), out + err
    assert err.startswith("error: unknown output 'yaml'\n  hint: choose one of text, json")
    assert not (offline.path / ".devtools").exists()


@pytest.mark.parametrize("name", ["../up", "Has Space", "-x", "a" * 33, "UPPER"])
def test_a_cluster_name_that_is_none(offline: Repo, name: str) -> None:
    code, _, err = _sh(offline, "$INVOKE cluster.status", {"DEVTOOLS_CLUSTER": name})
    assert (code, "is not a valid cluster name" in err) == (2, True), err


def test_from_below_in_a_path_with_blanks_and_without_a_home(offline: Repo, tmp_path: Path) -> None:
    place = tmp_path / "my repo, v1"
    offline.path.rename(place)
    below = place / "layers"
    env = {"HOME": "", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""}
    code, out, err = _sh(offline, "unset HOME; $INVOKE layers", env, cwd=below)
    assert (code, "conf" in out) == (0, True), out + err
    code, out, err = _sh(offline, "$INVOKE plan --output json", {"DEVTOOLS_STATE": "relative"}, cwd=below)
    assert (code, json.loads(out)["exit_code"]) == (0, 0), out + err


def test_errors_are_one_document_too(offline: Repo) -> None:
    for words, expected in (
        ("layer 10", 4),
        ("layer no", 2),
        ("up --env no", 2),
        ("plan --env no", 2),
        ("layers --env no", 2),
        ("down", 4),
    ):
        code, out, err = _sh(offline, f"$INVOKE {words} --output json")
        document = json.loads(out)
        assert (code, document["kind"], document["exit_code"]) == (expected, "error", expected), out + err
        assert err.startswith("error: ")
    code, out, err = _sh(offline, "$INVOKE cluster.status --output json")
    assert (code, json.loads(out)["state"]) == (4, "absent"), err


@pytest.mark.parametrize("reported", ["", "1"])
def test_modules_are_compiled_once_unless_python_may_not(offline: Repo, tmp_path: Path, reported: str) -> None:
    env = {"PYTHONDONTWRITEBYTECODE": reported, "PYTHONPYCACHEPREFIX": str(tmp_path / "pyc")}
    assert _sh(offline, "$INVOKE layers", env)[0] == 0
    assert any("devtools/config/stack." in str(path) for path in tmp_path.rglob("*.pyc")) != bool(reported)


STUCK = """
import os, signal, sys, threading, time
sys.path.insert(0, {root!r})
from pathlib import Path
from devtools.app.signals import signals
from devtools.app.environment import App
app = App(environ={{}}, cwd=Path("/"), out=sys.stdout, err=sys.stderr)
held = threading.Lock()
with signals(app):
{body}
    assert app.cancel.wait(60)
print(app.cancel.reason)
"""
IN_A_WAIT = """
    with app.cancel._event._cond:  # as the main thread does for an instant in every wait
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
"""
ASLEEP = """
    held.acquire()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # another thread gets it: the main one does not wake up
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    threading.Thread(target=lambda: app.cancel.wait(60) and held.release(), daemon=True).start()
    assert held.acquire(timeout=50)
"""


@pytest.mark.parametrize("body", [IN_A_WAIT, ASLEEP], ids=["in a wait", "asleep"])
def test_a_signal_is_heard_while_the_main_thread_waits(body: str) -> None:
    script = STUCK.format(root=str(Path(__file__).parent.parent.parent), body=body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "asked to stop (SIGTERM)\n"), done.stderr


def _stubborn(repo: Repo) -> None:
    """A `before` command that no polite signal ends."""
    traps = "trap 'echo asked > asked' INT; trap 'echo again > again' TERM"
    script = f"{traps}; echo begun > begun; while :; do sleep 0.1; done"
    repo.write("stubborn.sh", script)
    repo.edit(
        "layers/10-base.yaml", "    values:", "    before:\n      - {run: [sh, stubborn.sh], timeout: 10m}\n    values:"
    )


def _begun(repo: Repo) -> None:
    eventually((repo.path / "begun").exists)


@pytest.mark.cluster
def test_helm_leaves_nothing_in_the_repository_or_the_users_home(repo: Repo, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": ""}
    cluster = {"DEVTOOLS_CLUSTER": repo.environ["DEVTOOLS_CLUSTER"], "DEVTOOLS_CACHE": str(repo.app.folders.cache)}
    before = {path.name for path in repo.path.iterdir()}
    for line in ("$INVOKE layer 10 --no-test", "unset HOME; $INVOKE layer 10 --force --no-test"):
        code, out, err = _sh(repo, line, {**env, **cluster})
        assert code == 0, out + err
    assert list(home.iterdir()) == []
    assert {path.name for path in repo.path.iterdir()} - before == {".devtools"}


@pytest.mark.cluster
def test_a_second_ctrl_c_kills_what_the_first_one_asked(repo: Repo) -> None:
    _stubborn(repo)
    child = repo.start("layer", "10", "--output", "json")
    _begun(repo)
    child.send_signal(signal.SIGINT)
    eventually((repo.path / "asked").exists)  # two signals that nobody has heard yet are one
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert not (repo.path / "again").exists(), "it was killed, and not asked again first"
    document = json.loads(out)
    assert (child.returncode, document["exit_code"], document["result"]) == (130, 130, "interrupted"), out + err
    assert [item["outcome"] for item in document["releases"]] == ["interrupted"]
    assert "Traceback" not in err


@pytest.mark.cluster
def test_stopped_while_waiting_for_the_lock(repo: Repo) -> None:
    _stubborn(repo)
    holder = repo.start("layer", "10")
    _begun(repo)
    waiting = repo.start("layer", "60", "--output", "json")
    printed: list[str] = []
    assert waiting.stderr is not None
    reader = Thread(target=lambda: printed.extend(waiting.stderr or ()))
    reader.start()
    eventually(lambda: any("waiting for another run" in line for line in printed), reported=lambda: printed)
    waiting.send_signal(signal.SIGTERM)
    assert waiting.stdout is not None
    document = json.loads(waiting.stdout.read())
    waiting.wait(120)
    reader.join()
    waiting.stdout.close()
    waiting.stderr.close()
    assert (waiting.returncode, document["kind"], document["exit_code"]) == (130, "error", 130)
    runs = [path.name for path in (repo.path / ".devtools" / "runs").iterdir() if not path.is_symlink()]
    assert len(runs) == 1, "what never began leaves no run behind"
    holder.send_signal(signal.SIGINT)
    eventually((repo.path / "asked").exists)
    holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=120)


@pytest.mark.cluster
def test_what_a_killed_run_left_is_ended_by_the_next(repo: Repo, cluster: Cluster) -> None:
    repo.chart("conf", (repo.path / "charts/platform/conf/templates/0.yaml").read_text(), SLOW)
    state = repo.apart()
    child = repo.start("layer", "10", env={"DEVTOOLS_MARK": repo.namespace})
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    eventually(lambda: kube.get(f"/apis/batch/v1/namespaces/{repo.namespace}/jobs/slow"))
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=120)
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}"), "the helm that the kill left goes on"
    (repo.path / "charts/platform/conf/templates/1.yaml").unlink()
    assert list((state / "marks").glob("*-*.lock"))
    again = repo.invoke("layer", "10")
    assert again.code == 0, again.text
    assert "ending processes of a killed run: helm (pid " in again.err
    assert with_mark(f"DEVTOOLS_MARK={repo.namespace}") == []
    assert [path.name for path in (state / "marks").iterdir()] == ["all.lock"]


def test_the_mark_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "marks"
    with marked(root, print) as first:
        with marked(root, print) as second:
            assert first != second
            assert Path(first).exists()
        assert not Path(second).exists()
    assert [path.name for path in root.iterdir()] == ["all.lock"]
    (root / "4711-dead.lock").touch()
    with marked(root, print):
        assert not (root / "4711-dead.lock").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot make a lock in"), marked(tmp_path / "file" / "x", print):
        pass


def test_a_process_that_ends_while_it_is_looked_at_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "4711-dead.lock"
    lock.touch()
    child = subprocess.Popen(["sleep", "600"], env={**os.environ, orphans.RUN_VARIABLE: str(lock)})
    mark = orphans._mark

    def marked_then_gone(process: psutil.Process) -> str:
        found = mark(process)
        if process.pid == child.pid:
            child.kill()
            child.wait()
        return found

    monkeypatch.setattr(orphans, "_mark", marked_then_gone)
    printed: list[str] = []
    with marked(tmp_path, printed.append):
        assert not lock.exists()
    assert printed == []
