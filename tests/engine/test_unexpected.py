"""What nobody foresaw, in the middle of a run on a real API server: bugs of ours, strange helms, full disks."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.errors import DevtoolsError, ExitCode
from devtools.events import Bus, Event, Outcome, RunFinished, StepFinished, TestFinished, Verdict
from devtools.helm.commands import Helm, parse_manifest, parse_tests, parse_upgrade
from devtools.helm.failures import classify
from devtools.model import Action
from devtools.process.runner import Command, OnOutput, Result
from devtools.testing import RecordingSink
from tests.kits.run import Bench, Recorder, config_map, job, plan, step

cluster = pytest.mark.cluster


class Breaking(Recorder):
    """The real runner, but with an exception of ours for the commands that hold a word."""

    word = ""

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        if self.word in command.argv:
            raise KeyError("metadata")
        return super().run(command, on_output)


@cluster
def test_a_bug_fails_one_step_and_the_others_finish(bench: Bench) -> None:
    bad = bench.release(bench.chart("bad", config_map("bad")))
    child = bench.release(bench.chart("child", config_map("child")))
    other = bench.release(bench.chart("other", config_map("other")))
    runner = Breaking(bench.cancel)
    runner.word = "bad"
    ran = bench.run(plan(step(bad), step(child, bad), step(other)), runner=runner)
    assert ran.code is ExitCode.BUG
    outcomes = {event.release: event.outcome for event in ran.all(StepFinished)}
    assert outcomes == {str(bad.id): Outcome.FAILED, str(child.id): Outcome.SKIPPED, str(other.id): Outcome.INSTALLED}
    end = ran.one(RunFinished)
    assert end.exit_code == 3
    assert end.reason.startswith("KeyError in devtools itself; the details are in ")
    retained = Path(end.reason.rpartition(" ")[2])
    assert "Traceback" in retained.read_text()
    assert retained.stat().st_mode & 0o777 == 0o600
    retained.unlink()


@cluster
def test_a_bug_in_a_test_is_that_tests_failure(bench: Bench) -> None:
    smoke = bench.release(bench.chart("smoke", job("one", "test", "true")), smoke=True)
    runner = Breaking(bench.cancel)
    runner.word = "test"
    ran = bench.run(plan(step(smoke)), runner=runner)
    end = ran.one(TestFinished)
    assert (ran.code, end.verdict) == (ExitCode.BUG, Verdict.FAILED)
    assert "KeyError in devtools itself" in end.reason
    Path(end.reason.rpartition(" ")[2]).unlink()


@cluster
def test_a_renderer_that_breaks_does_not_hang_the_run(bench: Bench) -> None:
    class Broken(RecordingSink):
        def emit(self, event: Event, at: float) -> None:
            super().emit(event, at)
            if isinstance(event, StepFinished) and event.release.endswith("one"):
                raise ZeroDivisionError

    sink = Broken()
    one, two = (bench.release(bench.chart(name, config_map(name))) for name in ("one", "two"))
    ran = bench.run(plan(step(one), step(two)), bus=Bus((sink,), time.time))
    assert ran.code is ExitCode.BUG
    assert isinstance(sink.events[-1], RunFinished)
    Path(sink.events[-1].reason.rpartition(" ")[2]).unlink()


def _script(bench: Bench, text: str) -> Helm:
    """A helm of our own; the real one where it is not about `upgrade`."""
    path = bench.root / "helm"
    path.write_text(f'#!/bin/sh\n[ "$1" = upgrade ] || exec {bench.helm} "$@"\n{text}\n')
    path.chmod(0o755)
    return Helm(program=path, kubeconfig=bench.cluster.kubeconfig, context=bench.cluster.context)


STRANGE: dict[str, tuple[str, Callable[[str], bool]]] = {
    "says nothing": ("exit 0", lambda reason: reason == "helm's output is not a release"),
    "says something else": ("echo '{}'", lambda reason: reason == "helm's output is not a release"),
    "is cut off": ('echo \'{"version": 1, "manif\'', lambda reason: reason == "helm's output is not a release"),
    "renders no YAML": (
        'echo \'{"version": 1, "manifest": "a: ["}\'',
        lambda reason: reason == "helm's output is not a release",
    ),
    "is not UTF-8": (r"printf 'Error: caf\351\n' >&2; exit 1", lambda reason: reason == "caf\\xe9"),
    "dies": ("kill -9 $$", lambda reason: reason == "helm was killed (SIGKILL)"),
    "fails without a word": ("exit 1", lambda reason: reason == "helm failed without an error message"),
    "floods": ("head -c 100000000 /dev/zero | tr '\\0' x", lambda reason: reason == "helm's output is not a release"),
    "floods stderr": (
        "head -c 1000000 /dev/zero | tr '\\0' '\\n' >&2; echo 'Error: in the end' >&2; exit 1",
        lambda reason: reason == "in the end",
    ),
}


@cluster
@pytest.mark.parametrize("case", STRANGE)
def test_a_helm_that_does_not_behave(bench: Bench, case: str) -> None:
    text, expected = STRANGE[case]
    conf = bench.release(bench.chart("conf", config_map("conf")))
    ran = bench.run(plan(step(conf)), find_helm=partial(_script, bench, text))
    assert ran.code is ExitCode.FAILED
    assert expected(ran.one(StepFinished).reason), ran.one(StepFinished).reason[:300]


@cluster
def test_a_helm_that_hangs_is_ended_with_its_children(bench: Bench) -> None:
    class Hasty(Recorder):
        def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
            return super().run(replace(command, timeout=1.0), on_output)

    conf = bench.release(bench.chart("conf", config_map("conf")), timeout=7.0)
    runner = Hasty(bench.cancel)
    ran = bench.run(plan(step(conf)), find_helm=partial(_script, bench, "sleep 1000 & wait"), runner=runner)
    assert ran.code is ExitCode.TIMEOUT
    assert ran.one(StepFinished).reason.startswith("helm upgrade took longer than 7 s")
    assert runner.groups() == frozenset()


@cluster
def test_only_testing_what_is_not_there_is_refused_at_once(bench: Bench) -> None:
    conf = bench.release(bench.chart("conf", config_map("conf")), timeout=600.0)
    gone = bench.release(bench.chart("gone", config_map("gone")))
    bench.run(plan(step(gone)))
    started = time.monotonic()
    ran = bench.run(plan(step(conf), step(gone, action=Action.UNINSTALL)), sync=False)
    assert (ran.code, time.monotonic() - started < 300) == (ExitCode.FAILED, True)
    end = ran.one(StepFinished, release=str(conf.id))
    assert (end.reason, end.hint) == ("cannot be tested: not on the cluster", "invoke layer 40-data-plane")
    assert ran.one(StepFinished, release=str(gone.id)).outcome is Outcome.DISABLED
    assert gone.id in ran.after.releases


@cluster
def test_only_testing_does_not_make_an_older_release_current(bench: Bench) -> None:
    smoke = bench.release(bench.chart("smoke", job("t", "test", "true")), smoke=True)
    first = bench.run(plan(step(smoke)))
    changed = step(smoke, action=Action.UPGRADE, digest="e" * 40, revision=1)
    ran = bench.run(plan(changed), sync=False, real_node=None)
    assert ran.one(TestFinished).verdict is Verdict.PASSED
    before, after = first.after.releases[smoke.id], ran.after.releases[smoke.id]
    assert (after.digest, after.ready, after.tested) == (before.digest, before.ready, "")


KEYS = ["version", "manifest", "hooks", "kind", "metadata", "items", "apiVersion", "annotations", "namespace"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("List"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
PARSERS: tuple[Callable[[str], object], ...] = (
    lambda printed: parse_upgrade(printed, "ns"),
    lambda printed: parse_manifest(printed, "ns"),
    parse_tests,
    classify,
)


@given(JSON, st.text(max_size=60))
def test_whatever_helm_says_is_read_or_refused(document: object, text: str) -> None:
    plain = json.dumps(document)
    for printed in (plain, text, json.dumps({"version": 1, "manifest": text}), f"a: {text}\nkind: 2024-99-99\n"):
        for parse in PARSERS:
            with contextlib.suppress(DevtoolsError):
                parse(printed)
