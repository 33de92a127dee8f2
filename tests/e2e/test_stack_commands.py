"""Commands of the stack around a run: `before` and `after` in devtools.yaml."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.kits.repository import Repo
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster
NOTE = "echo $0 $DEVTOOLS_RESULT $DEVTOOLS_EXIT_CODE $DEVTOOLS_ENVIRONMENT >> noted; test -d $DEVTOOLS_RUN_DIRECTORY"


def declare(repo: Repo, before: str = NOTE, after: str = NOTE, more: str = "") -> None:
    """Write both commands into devtools.yaml; their first line of `noted` is which they are."""
    hooks = {
        "before": [{"run": ["sh", "-c", before, "before"], "timeout": "10m"}],
        "after": [
            {"run": ["sh", "-c", after, "after"], "timeout": "10m"},
            {"run": ["touch", "last"], "environments": ["local"]},
        ],
    }
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in hooks.items())
    repo.write("devtools.yaml", f"name: {repo.namespace}\n{text}{more}")


def noted(repo: Repo) -> list[str]:
    path = repo.path / "noted"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [" ".join(line.split()) for line in lines]


def test_they_run_around_changes_and_the_plan_shows_them(repo: Repo) -> None:
    declare(repo)
    dry = repo.invoke("layer", "10", "--dry-run")
    assert [line.split()[0] for line in dry.out.splitlines() if "DEVTOOLS_RESULT" in line] == ["runs", "then"]
    assert noted(repo) == []
    done = repo.invoke("layer", "10", "--output", "json")
    assert done.code == 0, done.text
    assert noted(repo) == ["before local", "after ok 0 local"]
    assert (repo.path / "last").exists()
    commands = [*done.document["before"], *done.document["after"]]
    assert [command.split()[0] for command in commands] == ["sh", "sh", "touch"]
    assert [item["release"] for item in done.document["releases"]] == [f"{repo.namespace}/conf"]
    for words in (("layer", "10"), ("layer", "10", "--only-test"), ("plan", "--diff"), ("down",)):
        typed = repo.invoke(*words)
        assert (typed.code, noted(repo)) == (0, []), typed.text


def test_a_failure_before_ends_the_run_before_anything_is_done(repo: Repo) -> None:
    declare(repo, before="echo no database here >&2; exit 3")
    done = repo.invoke("layer", "10", "--output", "json")
    assert (done.code, done.document["reason"]) == (1, "devtools.yaml:2:10: hook sh ended with 3\nno database here")
    assert [item["outcome"] for item in done.document["releases"]] == [None]
    assert noted(repo) == ["after failed 1 local"]
    log = Path(done.document["directory"]) / "stack.log"
    assert "stderr   no database here" in log.read_text()
    declare(repo, before="exit 0", after="exit 4")  # the release was not touched: it is still to be installed
    done = repo.invoke("layer", "10", "--output", "json")
    assert (done.code, done.document["reason"], done.document["result"]) == (
        1,
        "devtools.yaml:3:9: hook sh ended with 4",
        "failed",
    )
    assert [item["outcome"] for item in done.document["releases"]] == ["installed"]
    assert repo.invoke("layer", "10").code == 0  # nothing changes any more


def test_a_failed_run_stays_failed_whatever_comes_after(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "equals: hello", "equals: bye, timeout: 1s")
    declare(repo, after=f"{NOTE}; exit 4")
    done = repo.invoke("layer", "10", "--output", "json")
    assert done.code == 1
    assert done.document["reason"] == f"{repo.namespace}/conf failed; devtools.yaml:3:9: hook sh ended with 4"
    assert noted(repo) == ["before local", "after failed 1 local"]
    assert (repo.path / "last").exists()


@pytest.mark.parametrize("where", ["before", "after"])
def test_ctrl_c_ends_a_command_and_what_comes_after_still_runs(repo: Repo, where: str) -> None:
    slow = "touch begun; sleep 1000"
    declare(repo, **{"after": NOTE, where: slow})
    child = repo.start("layer", "10")
    eventually((repo.path / "begun").exists)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 130, out + err
    assert noted(repo) == {"before": ["after interrupted 130 local"], "after": ["before local"]}[where]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("before: [{run: []}]\n", "devtools.yaml:1:11: 'run' must not be empty"),
        ("after: [{run: [x], environments: [prod]}]\n", "devtools.yaml:1:35: unknown environment 'prod'"),
        ("before: [{command: x}]\n", "devtools.yaml:1:11: unknown key 'command'"),
    ],
)
def test_their_errors_are_reported_with_their_locations(offline: Repo, text: str, problem: str) -> None:
    offline.write("devtools.yaml", text)
    typed = offline.invoke("layers")
    assert typed.code == 2
    assert problem in typed.err
