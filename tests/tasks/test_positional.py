"""Command lines as invoke itself reads them: which tasks it calls, and what it hands them."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.tasks import namespace
from tests.kits.stack import repository

CASES: list[dict[str, Any]] = yaml.load(
    (Path(__file__).parent.parent / "cases/told.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)

# As invoke's own command does, but for the bodies: they say what they were called with.
READER = """\
import contextlib, inspect, io, json, sys
from invoke import Collection, task
from invoke.program import Program
program = Program(version="1")
from devtools.tasks import namespace

@task
def deploy(_, where="there"):
    pass

dev = Collection()
dev.add_collection(namespace, "dev")
dev.add_task(deploy)
calls = []

def telling(body):
    defaults = {name: it.default for name, it in inspect.signature(body).parameters.items()}
    def told(_, /, **given):
        calls.append([body.__name__, {k: v for k, v in given.items() if v not in (defaults[k], [])}])
    told.__wrapped__ = body  # whose flags it has
    return told

for it in {id(dev[name]): dev[name] for name in dev.task_names}.values():
    it.body = telling(it.body)
found = []
for typed in json.load(sys.stdin):
    program.namespace = dev if "dev." in typed else namespace
    calls.clear()
    with contextlib.redirect_stderr(io.StringIO()) as err:
        program.run(["invoke", *typed.split(" ")], exit=False)
    found.append({"calls": list(calls), "refused": err.getvalue()})
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each command line, all read by one process."""
    script = tmp_path_factory.mktemp("reader") / "reader.py"
    script.write_text(READER)
    lines = [case["typed"] for case in CASES]
    done = subprocess.run(
        [sys.executable, str(script)], input=json.dumps(lines), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["typed"])
def test_a_command_line(case: dict[str, Any], read: dict[str, dict[str, Any]]) -> None:
    found = read[case["typed"]]
    if "refused" in case:
        assert (found["calls"], case["refused"] in found["refused"]) == ([], True), found
        return
    wanted = [
        [name.rpartition(".")[2], has_positional] for call in case["calls"] for name, has_positional in call.items()
    ]
    assert (found["calls"], found["refused"]) == (wanted, "")


def test_a_program_that_cannot_be_asked(tmp_path: Path) -> None:
    """Where invoke is started by neither its own command nor a program's, the tasks beside are all there is."""
    layer = "stage: a\nreleases: [{{name: {0}, namespace: ns, chart: platform/web}}]\n"
    files = {f"layers/{number}-{number}.yaml": layer.format(f"r{number}") for number in (10, 20)}
    root = repository(tmp_path, {"tasks.py": "from devtools.tasks import namespace\n", **files})
    code = "import sys; from invoke.main import program as it; it.run(['invoke', *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, "layers", "--env", "local", "20", "--output", "json"],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "DEVTOOLS_PROVIDER": "kwok"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [layer["layer"] for layer in json.loads(done.stdout)["layers"]] == ["20-20"]


def test_invokes_copy_of_a_task_shares_all_but_its_help() -> None:
    """One that refers to all others would make invoke copy them once for each."""
    copied = copy.deepcopy(namespace["plan"])
    copied.help.clear()
    assert copied.beside is namespace["plan"].beside
    assert namespace["plan"].help
