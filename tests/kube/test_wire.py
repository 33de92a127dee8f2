"""What an API server does on a bad day, and what the client makes of it."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devtools.errors import EnvironmentFault, ExitCode, Interrupted, inotify_hint
from devtools.kube import wire
from devtools.kube.client import ApiError, Kube, ServerGone
from devtools.kube.discovery import Discovery
from devtools.kube.logs import NotFollowed, log_lines
from devtools.process.runner import Cancel
from tests.kits.api_script import KUBECONFIG, Say, Script, refusal, served

VERSION = {"gitVersion": "v1.34.4"}


@pytest.fixture(autouse=True)
def _patient_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tests of the watchdog need it sooner, however slow this machine is."""
    monkeypatch.setattr(wire, "_SLACK", 60.0)


def test_retry_after_of_an_overloaded_server_is_respected(tmp_path: Path) -> None:
    busy = Say(status=429, headers={"Retry-After": "1"}, body={"reason": "TooManyRequests"})
    with served(Script().on("GET /version", busy, Say(body=VERSION)), tmp_path) as kube:
        started = time.monotonic()
        assert kube.version() == "v1.34.4"
        assert time.monotonic() - started >= 1.0


def test_a_server_that_stays_overloaded_is_an_environment_fault(tmp_path: Path) -> None:
    script = Script().on("GET /version", refusal(503, "ServiceUnavailable"))
    with served(script, tmp_path, retry_for=0.5) as kube:
        started = time.monotonic()
        with pytest.raises(ServerGone, match="does not answer: answers 503"):
            kube.version()
        assert time.monotonic() - started > 0.4


def test_waiting_for_an_answer_counts_as_waiting(tmp_path: Path) -> None:
    script = Script().on("GET /version", Say(waits=30.0))
    reported = pytest.raises(EnvironmentFault, match=r"does not answer: Read timed out after 0\.5 s$")
    with served(script, tmp_path, retry_for=0.4, read_for=0.5) as kube, reported:
        kube.version()
    assert len(script.asked) == 1


def test_a_broken_connection_is_a_readable_error(tmp_path: Path) -> None:
    script = Script().on("GET /version", Say(lost=True))
    reported = pytest.raises(EnvironmentFault, match=r"does not answer: [A-Z][a-z ]+$")
    with served(script, tmp_path, retry_for=0.0) as kube, reported:
        kube.version()


def test_a_created_object_whose_response_was_lost_is_found(tmp_path: Path) -> None:
    script = (
        Script()
        .on("POST /api/v1/namespaces", Say(lost=True), refusal(409, "AlreadyExists"))
        .on("GET /api/v1/namespaces/a", Say(body={"metadata": {"name": "a", "uid": "1"}}))
    )
    with served(script, tmp_path) as kube:
        assert kube.create("/api/v1/namespaces", {"metadata": {"name": "a"}})["metadata"]["uid"] == "1"
        with pytest.raises(ApiError, match="409"):  # nothing was lost here: someone else was first
            kube.create("/api/v1/namespaces", {"metadata": {"name": "a"}})


def test_a_list_whose_next_page_has_expired_is_begun_anew(tmp_path: Path) -> None:
    first = Say(body={"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "x"}})
    last = Say(body={"items": [{"metadata": {"name": "b"}}], "metadata": {}})
    script = Script().on("GET /api/v1/pods", first, refusal(410, "Expired"), first, last)
    with served(script, tmp_path) as kube:
        assert [item["metadata"]["name"] for item in kube.items("/api/v1/pods")] == ["a", "b"]


@pytest.mark.parametrize("body", [b"<html>please log in</html>", b"[]", b'"text"', b""])
def test_something_that_is_no_api_server_is_named(tmp_path: Path, body: bytes) -> None:
    with (
        served(Script().on("GET /version", Say(body=body)), tmp_path) as kube,
        pytest.raises(EnvironmentFault, match=r"http://127.0.0.1:\d+ is not a Kubernetes API server"),
    ):
        kube.version()


def test_a_server_that_cannot_tell_its_kinds_at_once_is_too_old(tmp_path: Path) -> None:
    script = Script().on("GET /api", Say(body={"kind": "APIVersions", "versions": ["v1"]}))
    with (
        served(script, tmp_path) as kube,
        pytest.raises(EnvironmentFault, match="does not support aggregated discovery") as caught,
    ):
        kube.resource("Pod")
    assert "1.27" in caught.value.hint


def test_forbidden_is_the_environments_fault(tmp_path: Path) -> None:
    with served(Script().on("GET /api/v1/secrets", refusal(403, "Forbidden")), tmp_path) as kube:
        with pytest.raises(ApiError) as caught:
            kube.metadata("/api/v1/secrets")
        assert caught.value.exit_code is ExitCode.ENVIRONMENT


def test_an_outage_is_shown_once_for_all_who_wait(tmp_path: Path) -> None:
    printed: list[str] = []
    away = [Say(lost=True)] * 16
    script = Script().on("GET /version", Say(body=VERSION), *away, Say(body=VERSION))
    with served(script, tmp_path, say=printed.append) as kube:
        kube.version()
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda _: kube.version(), range(4))) == {"v1.34.4"}
        assert "does not answer (" in printed[0]
        assert "trying again for 30 s" in printed[0]
        assert "answers again after " in printed[1]
        assert len(printed) == 2
        script.on("GET /version", *[Say(lost=True)] * 4, Say(body=VERSION))
        kube.version()
    assert len(printed) == 4


def test_a_server_that_never_answered_is_not_waited_for_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "FIRST", 1.0)
    printed: list[str] = []
    script = Script().on("GET /version", Say(lost=True))
    with served(script, tmp_path, say=printed.append) as kube, pytest.raises(EnvironmentFault, match="does not answer"):
        kube.version()
    assert len(printed) == 1
    assert "trying again for 1 s" in printed[0]


def test_a_client_that_does_not_retry_waits_for_a_slow_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server takes seconds to answer a cleanup, the renewal of a lease or the question whether it is there."""
    monkeypatch.setattr(wire, "_SLACK", 0.0)
    slow = Say(body=VERSION, waits=1.0)  # longer than the watchdog's interval
    with served(Script().on("GET /version", slow), tmp_path, retry_for=0.0) as kube:
        assert kube.version() == VERSION["gitVersion"]


def test_waiting_for_a_server_can_be_interrupted(tmp_path: Path) -> None:
    cancel = Cancel()
    with served(Script().on("GET /version", Say(lost=True)), tmp_path, cancel=cancel) as kube:
        threading.Timer(0.2, cancel.set, ["interrupted by Ctrl-C"]).start()
        with pytest.raises(Interrupted, match="interrupted by Ctrl-C"):
            kube.version()


@pytest.mark.parametrize("server", ["", "127.0.0.1:6443", "http://[oops"])
def test_a_server_that_is_no_url_is_not_waited_for(tmp_path: Path, server: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(port=1).replace("http://127.0.0.1:1", server))
    with pytest.raises(EnvironmentFault, match=r"is not a URL: '|cannot talk to the API server at"):
        Kube(path, "c", Cancel()).version()


def test_a_log_is_read_as_lines_whatever_is_in_it(tmp_path: Path) -> None:
    umlaut = "ü".encode()
    chunks = (b"one\r\ntw", b"o\n" + b"x" * 65535, umlaut + b"y" * 70000, b"\xff\xfe\nlast")
    with served(Script().on("GET /log", Say(chunks=chunks)), tmp_path) as kube:
        lines = list(kube.lines("/log"))
    assert lines[:2] == ["one", "two"]
    assert lines[2] == "x" * 65535 + "ü"  # not in the middle of a character
    assert "".join(lines[2:-1]) == "x" * 65535 + "ü" + "y" * 70000 + "\\xff\\xfe"
    assert all(len(line) <= 65536 for line in lines)
    assert lines[-1] == "last"


def test_refused_and_abandoned_streams_leave_usable_connections(tmp_path: Path) -> None:
    script = Script().on("GET /log", refusal(400, "BadRequest")).on("GET /version", Say(body=VERSION))
    with served(script, tmp_path) as kube:
        for _ in range(20):
            with pytest.raises(ApiError, match="400 BadRequest"):
                list(kube.lines("/log"))
        assert script.connections == 1
        script.on("GET /log", Say(chunks=(b"one\n", b"two\n")))
        assert next(kube.lines("/log")) == "one"
        assert kube.version() == "v1.34.4"
        assert script.asked.count("GET /version") == 1  # not tried on a half-read connection first


def test_kinds_forgotten_during_a_look_are_looked_for_again() -> None:
    looking, go_on = threading.Event(), threading.Event()
    resources: list[dict[str, object]] = []

    def read(path: str) -> dict[str, object]:
        if path == "/api":
            return {"items": []}
        observed = list(resources)  # what is served when the look begins
        looking.set()
        assert go_on.wait(60)
        versions = [{"version": "v1", "resources": observed}]
        return {"items": [{"metadata": {"name": "example.com"}, "versions": versions}]}

    discovery = Discovery(read)
    first = threading.Thread(target=discovery.served)
    first.start()
    assert looking.wait(60)
    resources.append({"resource": "things", "responseKind": {"kind": "Thing"}, "scope": "Namespaced"})
    forgetting = threading.Thread(target=discovery.forget)
    forgetting.start()
    go_on.set()
    first.join()
    forgetting.join()
    assert [item.kind for item in discovery.served()] == ["Thing"]


@pytest.mark.parametrize("before", [65530, 65536, 131070, 131072, 4 * 65536 - 3])
@pytest.mark.parametrize("chunk", [7, 65536])
def test_a_secret_in_a_log_is_not_cut_in_two(tmp_path: Path, before: int, chunk: int) -> None:
    data = b"x" * before + b"hunter22-secret" + b"y" * 70000
    edge = before + 7  # a chunk ends within the secret
    chunks = (data[:edge], *(data[at : at + 65536] for at in range(edge, len(data), 65536))) if chunk == 7 else (data,)
    with served(Script().on("GET /log", Say(chunks=chunks)), tmp_path) as kube:
        kube.redactor.add(["hunter22-secret"])
        text = "".join(kube.lines("/log"))
    assert text == "x" * before + "***" + "y" * 70000


def test_a_kubelets_log_error_is_not_a_line_of_the_container(tmp_path: Path) -> None:
    path, pod = "GET /api/v1/namespaces/ns/pods/p/log", {"metadata": {"name": "p"}, "spec": {}}
    body = b"one\nfailed to create fsnotify watcher: too many open files\n"  # as kubelet ends such a log
    lines: list[str] = []
    with served(Script().on(path, Say(body=body)), tmp_path) as kube:
        with pytest.raises(NotFollowed) as caught:
            lines.extend(log_lines(kube, "ns", pod, "c", follow="true"))
        assert lines == ["one"]
        assert "fs.inotify.max_user_instances=512" in caught.value.hint
        assert len(list(log_lines(kube, "ns", pod, "c"))) == 2, "a container may print that itself"


@pytest.mark.parametrize(
    ("text", "is_limit"),
    [
        ("inotify_init: too many open files", True),  # cadvisor, in kubelet's log
        ("filewatch init: Hit OS limits creating a watcher.", True),  # Tilt
        ("a\nwatch: inotify_add_watch: no space left on device\nb", True),
        ("open /etc/hosts: too many open files", False),
        ("write /var/log/x: no space left on device", False),
    ],
)
def test_limits_of_inotify_are_distinguished_from_others(*, text: str, is_limit: bool) -> None:
    assert bool(inotify_hint(text)) is is_limit


def test_a_server_that_still_answers_503_does_not_answer_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "QUIET", 0.0)
    printed: list[str] = []
    script = Script().on("GET /version", refusal(503, "ServiceUnavailable"))
    with served(script, tmp_path, say=printed.append, retry_for=2.0) as kube, pytest.raises(ServerGone):
        kube.version()
    assert len(printed) == 1
    assert "does not answer (answers 503)" in printed[0]


def test_a_health_check_names_what_is_not_ready(tmp_path: Path) -> None:
    body = b"[+]ping ok\n[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\n"
    with (
        served(Script().on("GET /readyz", Say(status=500, body=body)), tmp_path, retry_for=0.3) as kube,
        pytest.raises(ServerGone, match="answers 500, not ready: etcd, etcd-readiness"),
    ):
        kube.check()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_hides_its_health_is_asked_for_its_version(tmp_path: Path, status: int) -> None:
    script = Script().on("GET /readyz", refusal(status, "No")).on("GET /version", Say(body=VERSION))
    with served(script, tmp_path) as kube:
        kube.check()


def test_all_requests_give_a_server_up_at_the_same_time(tmp_path: Path) -> None:
    script = Script().on("GET /version", Say(body=VERSION), Say(lost=True)).on("GET /healthz", Say(lost=True))
    with served(script, tmp_path, retry_for=4.0) as kube:
        kube.version()
        started, ended = time.monotonic(), list[float]()

        def ask(after: float) -> None:
            time.sleep(after)
            with pytest.raises(ServerGone):
                kube.version()
            ended.append(time.monotonic() - started)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ask, (0.0, 3.0)))
        assert max(ended) - min(ended) < 2.5, "the last one does not begin to count for itself"
        asked = len(script.asked)
        with pytest.raises(ServerGone):
            kube.get("/healthz")
        assert len(script.asked) == asked


def test_a_silent_server_times_out_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SILENT", 0.5)
    monkeypatch.setattr(wire, "_SLACK", 0.5)
    printed: list[str] = []
    script = Script().on("GET /version", Say(body=VERSION), Say(waits=600.0))
    with served(script, tmp_path, say=printed.append, retry_for=1.0, read_for=600.0) as kube:
        kube.version()
        with pytest.raises(ServerGone, match="no answer for"):  # a request that is in flight is cut
            kube.version()
        assert len(printed) == 1
        assert "does not answer (no answer for" in printed[0]


def test_a_request_in_flight_ends_on_cancel(tmp_path: Path) -> None:
    cancel = Cancel()
    with served(Script().on("GET /version", Say(waits=600.0)), tmp_path, cancel=cancel, read_for=600.0) as kube:
        threading.Timer(0.3, cancel.set, ["asked to stop (SIGTERM)"]).start()
        with pytest.raises(Interrupted, match="SIGTERM"):
            kube.version()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_is_being_made_ends_on_cancel(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CONNECT", 600.0)  # no handshake is waited for as long as that
    cancel = Cancel()
    with socket.create_server(("127.0.0.1", 0)) as stopped, ThreadPoolExecutor(1) as pool:
        text = KUBECONFIG.format(port=stopped.getsockname()[1]).replace("http:", f"{scheme}:")
        (tmp_path / "kubeconfig").write_text(text)
        asked = pool.submit(Kube(tmp_path / "kubeconfig", "c", cancel, read_for=600.0).version)
        with stopped.accept()[0]:  # and no answer
            cancel.set("asked to stop (SIGTERM)")
            with pytest.raises(Interrupted, match="SIGTERM"):
                asked.result(120)


def test_a_server_that_is_away_is_not_asked_after_a_cancel(tmp_path: Path) -> None:
    cancel, script = Cancel(), Script().on("GET /version", Say(waits=600.0))
    with served(script, tmp_path, cancel=cancel, read_for=600.0) as kube:
        cancel.set("asked to stop (SIGTERM)")
        for _ in range(2):
            with pytest.raises(Interrupted, match="SIGTERM"):
                kube.version()
    assert len(script.asked) == 1, "a request may be the one that cleans up, as long as the server answers"
