"""Runs as a developer meets them, as (event, seconds since the start) pairs."""

from __future__ import annotations

from collections.abc import Callable

from devtools import events as ev
from devtools.report.terminal.live import LiveView
from devtools.report.terminal.plain import Plain

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
Script = list[tuple[ev.Event, float]]
LAYER = "40-data-plane"
NEEDS: dict[str, tuple[str, ...]] = {
    "clickhouse-operator/clickhouse-operator": (),
    "ameide/clickhouse": ("clickhouse-operator/clickhouse-operator",),
    "ameide/clickhouse-schema": ("ameide/clickhouse",),
    "ameide/redis": (),
    "ameide/kafka": (),
    "ameide/data-plane-smoke": ("ameide/clickhouse-schema", "ameide/redis", "ameide/kafka"),
}


def started(directory: str = "/repo/.devtools/runs/20260101T000000Z-layer-40-data-plane") -> ev.RunStarted:
    return ev.RunStarted(
        run="20260101T000000Z-layer-40-data-plane",
        what=f"layer {LAYER}",
        stack="ameide",
        environment="local",
        provider="kwok",
        context="kwok-ameide",
        directory=directory,
    )


def planned(
    actions: dict[str, tuple[str, str]] | None = None,
    *,
    layer: str = LAYER,
    dry_run: bool = False,
    stand_in: tuple[str, ...] = (),
) -> ev.PlanMade:
    chosen = actions or dict.fromkeys(NEEDS, ("install", "not installed yet"))
    steps = tuple(
        ev.PlannedStep(
            release=name,
            layer=layer,
            action=action,
            reason=reason,
            needs=NEEDS.get(name, ()),
            chart="platform/" + name.partition("/")[2],
            stand_in=name in stand_in,
        )
        for name, (action, reason) in chosen.items()
    )
    return ev.PlanMade(layers=(layer,), steps=steps, dry_run=dry_run)


def begin(release: str, action: str = "install") -> ev.StepStarted:
    return ev.StepStarted(release=release, layer=LAYER, action=action)


def done(
    release: str,
    seconds: float,
    outcome: ev.Outcome = ev.Outcome.INSTALLED,
    reason: str = "",
    *,
    stand_in: bool = False,
) -> ev.StepFinished:
    return ev.StepFinished(
        release=release, layer=LAYER, outcome=outcome, seconds=seconds, reason=reason, revision=1, stand_in=stand_in
    )


def check(release: str, contract: str, verdict: ev.Verdict, value: str = "", reason: str = "") -> ev.ContractChecked:
    return ev.ContractChecked(
        release=release, layer=LAYER, contract=contract, verdict=verdict, value=value, reason=reason
    )


def say(test: str, line: str, container: str = "check") -> ev.TestOutput:
    return ev.TestOutput(release="ameide/data-plane-smoke", test=test, container=container, line=line)


def tried(test: str) -> ev.TestStarted:
    return ev.TestStarted(release="ameide/data-plane-smoke", layer=LAYER, test=test)


def judged(
    test: str, verdict: ev.Verdict, seconds: float, reason: str = "", details: tuple[str, ...] = ()
) -> ev.TestFinished:
    return ev.TestFinished(
        release="ameide/data-plane-smoke",
        layer=LAYER,
        test=test,
        verdict=verdict,
        seconds=seconds,
        reason=reason,
        details=details,
    )


def synced() -> Script:
    """The releases of the layer, all well."""
    return [
        (started(), 0.0),
        (planned(), 0.3),
        (begin("clickhouse-operator/clickhouse-operator"), 0.3),
        (begin("ameide/redis"), 0.3),
        (begin("ameide/kafka"), 0.3),
        (done("ameide/redis", 0.9), 1.2),
        (done("clickhouse-operator/clickhouse-operator", 1.4), 1.7),
        (begin("ameide/clickhouse"), 1.7),
        (done("ameide/kafka", 2.0), 2.3),
        (
            ev.StepWaiting(
                release="ameide/clickhouse",
                layer=LAYER,
                what="ClickHouseInstallation/clickhouse: Creating",
                left=299.3,
            ),
            2.4,
        ),
        (ev.StepOutput(release="ameide/clickhouse", stream="stderr", line="level=INFO msg=waiting"), 3.0),
        (
            check(
                "ameide/clickhouse", "ClickHouseInstallation/clickhouse {.status.status} = Completed", ev.Verdict.PASSED
            ),
            9.0,
        ),
        (done("ameide/clickhouse", 7.3), 9.0),
        (begin("ameide/clickhouse-schema"), 9.0),
        (done("ameide/clickhouse-schema", 1.1), 10.1),
        (begin("ameide/data-plane-smoke"), 10.1),
        (done("ameide/data-plane-smoke", 0.4), 10.5),
        (tried("redis-ping"), 10.5),
        (tried("kafka-topics"), 10.5),
    ]


def green() -> Script:
    return [
        *synced(),
        (say("redis-ping", "PING redis.ameide.svc:6379"), 10.8),
        (say("kafka-topics", "3 topics: orders, payments, audit"), 10.9),
        (say("redis-ping", "\x1b[32mPONG\x1b[0m"), 11.0),
        (judged("redis-ping", ev.Verdict.PASSED, 1.2), 11.7),
        (judged("kafka-topics", ev.Verdict.PASSED, 2.1), 12.6),
        (ev.RunFinished(exit_code=0, seconds=12.6), 12.6),
    ]


def failed_smoke() -> Script:
    noise = [(say("kafka-topics", f"attempt {number}: no such host"), 11.0) for number in range(1, 46)]
    return [
        *synced(),
        (say("redis-ping", "PONG"), 11.0),
        (judged("redis-ping", ev.Verdict.PASSED, 1.2), 11.7),
        *noise,
        (say("kafka-topics", "sh: kafka-topcis: not found"), 13.0),
        (
            judged(
                "kafka-topics",
                ev.Verdict.FAILED,
                4.2,
                "Job/kafka-topics: container check exited with 127 (command not found)",
                ("Warning BackoffLimitExceeded Job/kafka-topics: Job has reached the specified backoff limit",),
            ),
            14.7,
        ),
        (ev.RunFinished(exit_code=1, seconds=14.7), 14.7),
    ]


def failed_release() -> Script:
    script = synced()[:8]
    return [
        *script,
        (done("ameide/kafka", 2.0), 2.3),
        (
            ev.StepWaiting(
                release="ameide/clickhouse",
                layer=LAYER,
                what="StatefulSet/clickhouse: 0 of 1 ready",
                left=57.7,
            ),
            4.0,
        ),
        (ev.Notice(level="info", message="rolled back to revision 1", release="ameide/redis"), 9.0),
        (
            ev.StepFinished(
                release="ameide/clickhouse",
                layer=LAYER,
                outcome=ev.Outcome.FAILED,
                seconds=42.0,
                reason="StatefulSet/clickhouse: the image clickhouse/clickhouse-server:24.13 of Pod/clickhouse-0 "
                "cannot be pulled",
                hint="check image.tag in environments/local/40-data-plane/clickhouse.yaml",
                details=(
                    "Warning Failed Pod/clickhouse-0: Failed to pull image: not found",
                    "Warning BackOff Pod/clickhouse-0: Back-off pulling image",
                ),
            ),
            43.7,
        ),
        (done("ameide/clickhouse-schema", 0.0, ev.Outcome.SKIPPED), 43.7),
        (
            done("ameide/data-plane-smoke", 0.0, ev.Outcome.SKIPPED, "because ameide/clickhouse failed"),
            43.7,
        ),
        (ev.RunFinished(exit_code=1, seconds=43.8), 43.8),
    ]


def failed_contract() -> Script:
    """As the engine tells it: the first broken contract is the reason, the others are details."""
    because = "Ready is False (QuorumLost: simulated failure)"
    topic = "contract KafkaTopic/events Ready: KafkaTopic/events does not exist"
    return [
        (started(), 0.0),
        (
            planned({"ameide/kafka": ("upgrade", "values changed"), "ameide/redis": ("install", "not installed yet")}),
            0.2,
        ),
        (begin("ameide/kafka", "upgrade"), 0.2),
        (begin("ameide/redis"), 0.2),
        (check("ameide/redis", "StatefulSet/redis", ev.Verdict.SIMULATED, "ready", "its pods are simulated"), 1.0),
        (check("ameide/redis", "Service/redis", ev.Verdict.PASSED), 1.0),
        (check("ameide/redis", "ConfigMap/redis", ev.Verdict.PASSED), 1.0),
        (done("ameide/redis", 0.8), 1.0),
        (ev.StepWaiting(release="ameide/kafka", layer=LAYER, what=f"Kafka/kafka Ready: {because}"), 1.2),
        (check("ameide/kafka", "Kafka/kafka Ready", ev.Verdict.FAILED, "Ready=False", because), 12.0),
        (check("ameide/kafka", "KafkaTopic/events Ready", ev.Verdict.FAILED, "", topic.partition(": ")[2]), 12.0),
        (
            ev.StepFinished(
                release="ameide/kafka",
                layer=LAYER,
                outcome=ev.Outcome.FAILED,
                seconds=11.8,
                reason=f"contract Kafka/kafka Ready: {because}",
                details=(topic,),
            ),
            12.0,
        ),
        (ev.RunFinished(exit_code=1, seconds=12.0, reason="ameide/kafka failed"), 12.0),
    ]


def unchanged() -> Script:
    actions = dict.fromkeys(NEEDS, ("unchanged", "same inputs, all objects there"))
    return [
        (started(), 0.0),
        (planned(actions), 0.2),
        (
            check("ameide/kafka", "Kafka/kafka Ready", ev.Verdict.SIMULATED, "Ready=True", "its status is simulated"),
            0.2,
        ),
        *((done(name, 0.0, ev.Outcome.UNCHANGED, "same inputs, all objects there"), 0.2) for name in NEEDS),
        (judged("all tests", ev.Verdict.SKIPPED, 0.0, "unchanged since they last passed"), 0.3),
        (ev.RunFinished(exit_code=0, seconds=0.4), 0.4),
    ]


def interrupted() -> Script:
    return [
        *synced()[:10],
        (
            ev.StepFinished(
                release="ameide/clickhouse",
                layer=LAYER,
                outcome=ev.Outcome.INTERRUPTED,
                seconds=6.3,
                reason="stopped while Helm was installing it; the release is left pending-install",
                hint="the next run clears it first",
            ),
            8.0,
        ),
        (tried("redis-ping"), 7.0),
        (judged("redis-ping", ev.Verdict.INTERRUPTED, 1.0, "interrupted by Ctrl-C"), 8.0),
        (judged("kafka-topics", ev.Verdict.SKIPPED, 1.0, "interrupted by Ctrl-C"), 8.0),
        (
            ev.RunFinished(
                exit_code=130,
                seconds=8.1,
                reason="interrupted by Ctrl-C",
                hint="run the same command again: it continues from here",
            ),
            8.1,
        ),
    ]


def simulated() -> Script:
    stand_in = ("clickhouse-operator/clickhouse-operator",)
    script = [
        (planned(stand_in=stand_in), at) if isinstance(event, ev.PlanMade) else (event, at) for event, at in synced()
    ]
    return [
        *script,
        (ev.Notice(level="warning", message="no real node here (not root): smoke Jobs are only simulated"), 10.5),
        (
            check(
                "ameide/redis",
                "RedisFailover/redis {.status.phase} = Running",
                ev.Verdict.SIMULATED,
                "Running",
                "set by a Stage",
            ),
            10.6,
        ),
        (judged("redis-ping", ev.Verdict.SIMULATED, 1.0, "no container ran"), 11.5),
        (judged("kafka-topics", ev.Verdict.SIMULATED, 1.0, "no container ran"), 11.5),
        (ev.RunFinished(exit_code=0, seconds=11.6), 11.6),
    ]


def blocked() -> Script:
    actions = {
        "clickhouse-operator/clickhouse-operator": ("unchanged", "same inputs, all objects there"),
        "ameide/clickhouse": ("blocked", "the chart archive third_party/altinity/clickhouse-0.3.1.tgz is missing"),
        "ameide/redis": ("install", "not installed yet"),
    }
    return [
        (started(), 0.0),
        (planned(actions), 0.2),
        (done("clickhouse-operator/clickhouse-operator", 0.0, ev.Outcome.UNCHANGED, "same inputs"), 0.2),
        (
            done(
                "ameide/clickhouse",
                0.0,
                ev.Outcome.SKIPPED,
                "the chart archive third_party/altinity/clickhouse-0.3.1.tgz is missing",
            ),
            0.2,
        ),
        (
            ev.RunFinished(
                exit_code=1,
                seconds=0.2,
                reason="ameide/clickhouse blocked",
                hint="run `invoke charts.vendor`, then try again",
            ),
            0.2,
        ),
    ]


def dry_run() -> Script:
    actions = dict.fromkeys(NEEDS, ("install", "not installed yet"))
    actions["ameide/redis"] = ("upgrade", "values changed: environments/local/40-data-plane/redis.yaml")
    return [
        (started(""), 0.0),
        (planned(actions, dry_run=True), 0.2),
        (ev.RunFinished(exit_code=0, seconds=0.2, reason="dry run: nothing was touched"), 0.2),
    ]


SCENARIOS: dict[str, Callable[[], Script]] = {
    "green": green,
    "failed-smoke": failed_smoke,
    "failed-release": failed_release,
    "failed-contract": failed_contract,
    "unchanged": unchanged,
    "interrupted": interrupted,
    "simulated": simulated,
    "blocked": blocked,
    "dry-run": dry_run,
}


def play(script: Script, *sinks: ev.Sink) -> None:
    """Hand every event to every sink, with a tick each second between them as `Ticking` gives, then close them."""
    now = 0.0
    for event, at in script:
        while now + 1 < at:
            now += 1
            for sink in sinks:
                if isinstance(sink, Plain | LiveView):
                    sink.tick(START + now)
        for sink in sinks:
            sink.emit(event, START + at)
    for sink in sinks:
        sink.close()
