"""Ctrl-C before a task has taken over: in real processes, at places that are hit for sure, and at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kits.stack import repository

INVOKE = str(Path(sys.executable).parent / "invoke")
MESSAGES = "interrupted by Ctrl-C\n"
LAYERS = ("layers", "--output", "json")

TASKS = """\
import importlib.abc, os, signal, sys, time
from invoke import task

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

class At(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("CTRL_C_AT"):
            ctrl_c()

sys.meta_path.insert(0, At())
from devtools.tasks import namespace
sys.stderr.write(os.environ.get("READY", ""))
sys.stderr.flush()
if os.environ.get("CTRL_C_AT") == "here":
    ctrl_c()

@task
def own(_):
    try:
        ctrl_c()
        time.sleep(600)
    except KeyboardInterrupt:
        print("own: interrupted")

@task
def talk(_):
    print("said before")

@task
def ours(context):
    namespace["layers"](context, output="json")

for it in (own, talk, ours):
    namespace.add_task(it)
"""


def _root(tmp_path: Path) -> Path:
    layer = "stage: a\nreleases: [{name: a, namespace: ns, chart: platform/web}]\n"
    return repository(tmp_path, {"tasks.py": TASKS, "layers/10-a.yaml": layer})


def _environ(root: Path, **more: str) -> dict[str, str]:
    home = {"HOME": str(root / "home"), "DEVTOOLS_STATE": str(root / "state"), "DEVTOOLS_CACHE": str(root / "cache")}
    return {"PATH": os.environ["PATH"], "DEVTOOLS_PROVIDER": "kwok", **home, **more}


def _typed(root: Path, *argv: str, at: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        argv, cwd=root, env=_environ(root, CTRL_C_AT=at), capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "at",
    [
        "devtools.tasks.charts",  # while the tasks are imported
        "here",  # when they are
        "devtools.app.exit_codes",  # in a task, before it asks for signals
        "devtools.app.environment",
    ],
)
def test_ctrl_c_before_a_task_of_ours_says_so(at: str, tmp_path: Path) -> None:
    assert _typed(_root(tmp_path), INVOKE, *LAYERS, at=at) == (130, "", MESSAGES)


def test_ctrl_c_in_a_task_of_ours_is_the_tasks_own(tmp_path: Path) -> None:
    """One that has nothing to stop or to wait for comes to its end; what it reads may come from many modules."""
    code, out, err = _typed(_root(tmp_path), INVOKE, *LAYERS, at="devtools.config.stack")
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("}")


@pytest.mark.parametrize("words", [("own",), (*LAYERS, "own"), ("ours", "own")])
def test_tasks_of_others_get_ctrl_c_as_ever(words: tuple[str, ...], tmp_path: Path) -> None:
    code, out, err = _typed(_root(tmp_path), INVOKE, *words)
    assert (code, out.splitlines()[-1]) == (0, "own: interrupted"), err


def test_what_was_printed_before_is_not_lost(tmp_path: Path) -> None:
    assert _typed(_root(tmp_path), INVOKE, "talk", *LAYERS, at="devtools.app.exit_codes") == (
        130,
        "said before\n",
        MESSAGES,
    )


def test_ctrl_c_that_is_ignored_stays_so(tmp_path: Path) -> None:
    code, out, err = _typed(_root(tmp_path), "sh", "-c", f"trap '' INT; exec {INVOKE} layers --output json", at="here")
    assert code == 0, err
    assert out.startswith("{")


@pytest.mark.parametrize(
    "before",
    ["", "import invoke.main; program = invoke.main.program; import signal; signal.signal(signal.SIGINT, print)"],
    ids=["a library", "a handler of somebody's"],
)
def test_who_imports_the_tasks_keeps_ctrl_c(before: str) -> None:
    script = f"{before}\nimport signal\nold = signal.getsignal(signal.SIGINT)\nimport devtools.tasks\n"
    script += "assert signal.getsignal(signal.SIGINT) is old"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


def test_ctrl_c_at_any_moment(tmp_path: Path) -> None:
    """From the import of the tasks on; the tests above interrupt that import itself."""
    root = _root(tmp_path)
    _typed(root, INVOKE, *LAYERS)
    rng = random.Random(5)
    ends = set()
    for _ in range(12):
        child = subprocess.Popen(
            (INVOKE, *LAYERS),
            cwd=root,
            env=_environ(root, READY="ready\n"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr
        assert child.stderr.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.4))
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
        ends.add(child.returncode)
        assert (child.returncode, err) in {(130, MESSAGES), (0, ""), (-signal.SIGINT, "")}, out + err
        if child.returncode != 130:
            assert out.rstrip().endswith("}"), "it had said all, and Python was ending"
    assert 130 in ends
