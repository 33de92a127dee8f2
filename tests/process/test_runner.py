"""The process seam against real small children."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread, Timer

import psutil
import pytest

from devtools.errors import EnvironmentFault
from devtools.process import streams
from devtools.process.runner import Cancel, Command, Later, Result, Stream, SubprocessRunner, redact
from tests.kits.waiting import eventually

PYTHON = (sys.executable, "-I", "-S", "-c")
STUBBORN = "import signal,time,sys; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print('up', flush=True); "


class Lines(list[tuple[Stream, str]]):
    """A listener that keeps what it hears."""

    def __call__(self, stream: Stream, line: str) -> None:
        self.append((stream, line))


@pytest.fixture
def cancel() -> Cancel:
    return Cancel()


@pytest.fixture
def runner(cancel: Cancel) -> SubprocessRunner:
    return SubprocessRunner(os.environ, cancel, grace=(0.3, 0.3))


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children()}
    yield
    eventually(lambda: not {child.pid for child in psutil.Process().children()} - before)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def python(code: str, timeout: float | None = 300.0, stdin: bytes | None = None) -> Command:
    return Command(argv=(*PYTHON, code), timeout=timeout, stdin=stdin)


def sh(code: str, timeout: float | None = 300.0, secrets: tuple[str, ...] = ()) -> Command:
    return Command(argv=("sh", "-c", code), timeout=timeout, secrets=secrets)


def timed_out(runner: SubprocessRunner, code: str, seconds: float) -> tuple[Result, Lines]:
    """Run a script that says `up` beyond its timeout; longer where a slow machine had not come so far by then."""
    while True:
        heard = Lines()
        result = runner.run(sh(code, timeout=seconds), heard)
        if heard or seconds > 30:
            return result, heard
        seconds *= 3


def test_it_gives_both_streams_and_the_exit_code(runner: SubprocessRunner) -> None:
    heard = Lines()
    result = runner.run(sh("echo out; echo err >&2; exit 3"), heard)
    assert (result.returncode, result.stdout, result.stderr, result.ok) == (3, "out\n", "err\n", False)
    assert sorted(heard) == [("stderr", "err"), ("stdout", "out")]


def test_env_is_added_and_cwd_is_used(runner: SubprocessRunner, tmp_path: Path) -> None:
    command = Command(argv=("sh", "-c", 'echo "$WHAT $PWD ${PATH:+path}"'), env={"WHAT": "this"}, cwd=tmp_path)
    assert runner.run(command).stdout == f"this {tmp_path} path\n"


def test_a_death_by_signal_is_negative(runner: SubprocessRunner) -> None:
    assert runner.run(sh("kill -9 $$")).returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("ignored", "code"),
    [((), -signal.SIGINT), ((2,), -signal.SIGTERM), ((2, 15), -signal.SIGKILL)],
    ids=["ends at INT", "ends at TERM", "ends at KILL"],
)
def test_a_timeout_climbs_the_ladder(runner: SubprocessRunner, ignored: tuple[int, ...], code: int) -> None:
    traps = "".join(f"trap '' {number};" for number in ignored)
    # exec keeps what is ignored, and leaves no shell that would wait for its child before it heeds a signal
    result, heard = timed_out(runner, f"{traps} echo up; exec sleep 600", 0.4)
    assert result.timed_out
    assert not result.cancelled
    assert not result.ok
    assert result.returncode == code
    assert heard == [("stdout", "up")]
    assert 0.4 <= result.seconds < 300


def test_last_words_after_an_interrupt_are_heard(cancel: Cancel) -> None:
    runner = SubprocessRunner(os.environ, cancel, grace=(60.0, 60.0))
    code = "trap 'echo rolled back; exit 7' INT; echo up; while :; do sleep 0.05; done"
    result, _ = timed_out(runner, code, 0.3)
    assert (result.returncode, result.timed_out, result.stdout) == (7, True, "up\nrolled back\n")


def test_cancel_from_another_thread(runner: SubprocessRunner, cancel: Cancel) -> None:
    Timer(0.2, cancel.set, ("enough",)).start()
    result = runner.run(python("import time; time.sleep(600)"))
    assert (result.cancelled, result.timed_out, result.ok) == (True, False, False)
    assert runner.run(sh("echo never")) == Result(returncode=-signal.SIGINT, cancelled=True)


def test_a_cleanup_runs_after_a_cancel(runner: SubprocessRunner, cancel: Cancel) -> None:
    cancel.set("Ctrl-C")
    assert runner.run(Command(argv=("true",))).cancelled
    done = runner.run(Command(argv=("true",), cleanup=True))
    assert (done.ok, done.cancelled) == (True, False)


def test_one_command_is_cancelled_alone(runner: SubprocessRunner) -> None:
    alone = Cancel()
    Timer(0.2, alone.set, ("enough",)).start()
    assert runner.run(Command(argv=("sleep", "600"), cancel=alone)).cancelled
    assert runner.run(sh("echo on")).stdout == "on\n"


def test_grandchildren_die_with_the_group(runner: SubprocessRunner) -> None:
    result, heard = timed_out(runner, "(trap '' INT TERM; echo $$; exec sleep 600) & wait", 0.4)
    assert result.timed_out
    eventually(lambda: not sleepers_of(int(heard[0][1])))


def sleepers_of(group: int) -> list[int]:
    """Live processes of the group."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (OSError, psutil.Error):
            continue
    return found


def test_a_grandchild_that_holds_the_pipes_is_not_waited_for(runner: SubprocessRunner) -> None:
    result = runner.run(sh("sleep 600 & echo $$", timeout=300))
    assert result.ok
    eventually(lambda: not sleepers_of(int(result.stdout)))


def test_waiting_for_a_grandchild_that_writes_for_ever_ends(runner: SubprocessRunner) -> None:
    result = runner.run(sh("yes & exit 0", timeout=300), Lines())
    assert result.ok  # it ended by itself


def test_a_slow_listener_loses_nothing(runner: SubprocessRunner) -> None:
    lines = 40
    heard: list[str] = []

    def slow(_stream: Stream, line: str) -> None:
        time.sleep(0.03)  # together longer than a dead child's pipes are waited for
        heard.append(line[:2])

    result = runner.run(python(f"print('\\n'.join(f'{{n:02}}' + 'x' * 3000 for n in range({lines})))"), slow)
    assert result.ok
    assert heard == [f"{number:02}" for number in range(lines)]


def test_a_listener_that_raises_leaves_nothing_behind(runner: SubprocessRunner) -> None:
    def bad(_stream: Stream, line: str) -> None:
        raise LookupError(line)

    with pytest.raises(LookupError, match="up"):
        runner.run(python(STUBBORN + "time.sleep(600)"), bad)
    assert not runner.groups()


def test_huge_output_is_streamed_and_cut_short(runner: SubprocessRunner) -> None:
    megabytes = 100
    count = 0

    def listen(_stream: Stream, line: str) -> None:
        nonlocal count
        count += len(line) + 1

    before = psutil.Process().memory_info().rss
    code = f"import os\nfor _ in range({megabytes}): os.write(1, (b'y' * 1023 + b'\\n') * 1024)"
    result = runner.run(python(code, timeout=600), listen)
    assert result.ok
    assert result.truncated
    assert count == megabytes * 1024 * 1024
    assert len(result.stdout) == streams.KEEP
    assert psutil.Process().memory_info().rss - before < 4 * streams.KEEP


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the memory of another process")
def test_the_memory_of_a_command_is_limited(runner: SubprocessRunner) -> None:
    words = "import sys; sys.stdin.read(); print(len(bytes(2**29)))"  # once the limit is there
    done = runner.run(Command(argv=(sys.executable, "-c", words), stdin=b"go", memory=2**28))
    assert (done.ok, "MemoryError" in done.stderr) == (False, True)
    assert runner.run(Command(argv=(sys.executable, "-c", words), stdin=b"go")).stdout == f"{2**29}\n"


def test_what_is_not_utf8_is_shown_as_escapes(runner: SubprocessRunner) -> None:
    heard = Lines()
    result = runner.run(python(r"import os; os.write(1, b'caf\xe9 \xf0\x9f\x9a\x80\r\nnext\r\n')"), heard)
    assert heard == [("stdout", "caf\\xe9 \N{ROCKET}"), ("stdout", "next")]
    assert result.stdout == "caf\\xe9 \N{ROCKET}\r\nnext\r\n"


def test_a_very_long_line_comes_in_pieces(runner: SubprocessRunner) -> None:
    heard = Lines()
    size = 300_001
    runner.run(python(f"import os; data = 'é'.encode() * {size}\nwhile data: data = data[os.write(1, data):]"), heard)
    assert "".join(line for _, line in heard) == "é" * size  # no character was cut in two
    assert len(heard) > 1
    assert max(len(line.encode()) for _, line in heard) <= streams.LINE


def test_no_newline_at_the_end(runner: SubprocessRunner) -> None:
    heard = Lines()
    assert runner.run(sh("printf 'one\ntwo'"), heard).stdout == "one\ntwo"
    assert heard == [("stdout", "one"), ("stdout", "two")]


def test_lines_are_heard_as_they_come(runner: SubprocessRunner, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    code = f"echo one; until [ -e {heard} ]; do sleep 0.05; done; echo two"  # it ends once its first line is heard
    result = runner.run(sh(code, timeout=300), lambda _stream, _line: heard.touch())
    assert (result.ok, result.stdout) == (True, "one\ntwo\n")


def test_stdin_larger_than_a_pipe(runner: SubprocessRunner) -> None:
    data = os.urandom(3_000_000).hex().encode()
    code = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    import hashlib

    assert runner.run(python(code, stdin=data)).stdout.strip() == hashlib.sha256(data).hexdigest()
    assert runner.run(Command(argv=("cat",), stdin=data)).stdout == data.decode()


@pytest.mark.parametrize("code", ["pass", "import os; os.close(0); print('done')", "import sys; sys.stdin.read(5)"])
def test_a_child_that_does_not_read_its_stdin(runner: SubprocessRunner, code: str) -> None:
    assert runner.run(python(code, stdin=b"x" * 3_000_000)).ok


def test_a_child_that_never_reads_and_never_ends(runner: SubprocessRunner) -> None:
    assert runner.run(python("import time; time.sleep(600)", timeout=0.3, stdin=b"x" * 3_000_000)).timed_out


def test_empty_stdin_is_an_end_and_none_is_devnull(runner: SubprocessRunner) -> None:
    assert runner.run(Command(argv=("cat",), stdin=b"", timeout=300)).ok
    assert runner.run(Command(argv=("cat",), timeout=300)).ok


def test_a_missing_program(runner: SubprocessRunner) -> None:
    with pytest.raises(EnvironmentFault, match=r"cannot run no-such-tool: No such file") as caught:
        runner.run(Command(argv=("no-such-tool",)))
    assert "PATH" in caught.value.hint
    assert not runner.groups()


def test_a_missing_directory_is_not_called_a_missing_program(runner: SubprocessRunner, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="gone: the directory does not exist"):
        runner.run(Command(argv=("sh", "-c", "true"), cwd=tmp_path / "gone"))


def test_a_program_that_may_not_run(runner: SubprocessRunner, tmp_path: Path) -> None:
    file = tmp_path / "tool"
    file.write_text("not a program")
    with pytest.raises(EnvironmentFault, match="Permission denied"):
        runner.run(Command(argv=(str(file),)))


SECRET = "s3cr3t-pässwörd"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


def test_secrets_are_not_in_lines_results_or_the_command(runner: SubprocessRunner) -> None:
    heard = Lines()
    command = sh(f"echo 'a {SECRET} b' | tee /dev/stderr", secrets=(SECRET,))
    result = runner.run(command, heard)
    assert sorted(heard) == [("stderr", "a *** b"), ("stdout", "a *** b")]
    assert (result.stdout, result.stderr) == ("a *** b\n", "a *** b\n")
    assert SECRET not in command.display()


def test_a_secret_of_several_lines_is_redacted_by_line(runner: SubprocessRunner) -> None:
    heard = Lines()
    runner.run(Command(argv=("cat",), stdin=f"key: |\n  {KEY}true".encode(), secrets=(KEY,)), heard)
    text = "\n".join(line for _, line in heard)
    assert "MIIE" not in text
    assert "kqhk" not in text
    assert text.startswith("key: |")
    assert text.endswith("true")


@pytest.mark.parametrize("offset", range(-len(SECRET.encode()) - 1, 2))
def test_a_secret_is_not_cut_in_two(runner: SubprocessRunner, offset: int) -> None:
    heard = Lines()
    data = b"x" * (streams.LINE + offset) + SECRET.encode() + b"y" * (2 * streams.LINE)
    runner.run(Command(argv=("cat",), stdin=data, secrets=(SECRET,)), heard)
    text = "".join(line for _, line in heard)
    assert len(heard) > 1
    assert text == data.decode().replace(SECRET, "***")


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("abc and abcd1234", ("abcd", "abcd1234"), "abc and ***"),
        ("of the in", ("of", "in", ""), "of the in"),
        ("token=hunter22", ("hunter22\n",), "token=***"),
        ("enabled: true\nlongenough", ("true\nlongenough",), "enabled: ***"),
        ("enabled: true", ("true\nlongenough",), "enabled: true"),
    ],
)
def test_redact(text: str, secrets: tuple[str, ...], shown: str) -> None:
    assert redact(text, secrets) == shown


def test_threads_share_a_runner(runner: SubprocessRunner, tmp_path: Path) -> None:
    results: dict[int, str] = {}
    go_on = tmp_path / "go-on"

    def one(number: int) -> None:
        results[number] = runner.run(sh(f"until [ -e {go_on} ]; do sleep 0.05; done; echo {number}")).stdout

    threads = [Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(runner.groups()) == len(threads))
    go_on.touch()
    for thread in threads:
        thread.join()
    assert results == {number: f"{number}\n" for number in range(8)}
    assert not runner.groups()


def test_spawn_appends_to_its_log_and_leaves_no_zombie(runner: SubprocessRunner, tmp_path: Path) -> None:
    log = tmp_path / "deep" / "some.log"
    for word in ("one", "two"):
        pid = runner.spawn(sh(f"echo {word}; echo more >&2"), log)
        eventually(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
    assert log.read_text() == "one\nmore\ntwo\nmore\n"


def test_a_spawned_child_outlives_its_parent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, sys; from pathlib import Path; from devtools.process.runner import *;"
        f"print(SubprocessRunner(os.environ, Cancel()).spawn(Command(argv=('sleep', '60')), Path({str(log)!r})))"
    )
    parent = SubprocessRunner(os.environ, Cancel())
    result = parent.run(Command(argv=(sys.executable, "-W", "error", "-c", code), cwd=Path(__file__).parents[2]))
    assert result.ok, result.stderr
    assert result.stderr == ""  # no ResourceWarning
    pid = int(result.stdout)
    try:
        assert alive(pid)
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGKILL)


def test_spawn_says_what_it_cannot_do(runner: SubprocessRunner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match="cannot write the log"):
        runner.spawn(sh("true"), tmp_path / "file" / "log")
    with pytest.raises(EnvironmentFault, match="cannot run no-such-tool"):
        runner.spawn(Command(argv=("no-such-tool",)), tmp_path / "log")
    with pytest.raises(ValueError, match="stdin"):
        runner.spawn(Command(argv=("cat",), stdin=b"x"), tmp_path / "log")


CAT = (sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read())")


def test_stdin_that_arrives_later(runner: SubprocessRunner) -> None:
    later, rest = Later(b"{"), b"x" * 300_000  # more than a pipe holds
    code = "import sys; print(sys.stdin.read(1), flush=True); sys.stdout.write(sys.stdin.read())"

    def give(_stream: Stream, line: str) -> None:
        if line == "{":  # it runs, and waits for the rest
            Thread(target=later.give, args=(rest,)).start()

    result = runner.run(Command(argv=(sys.executable, "-c", code), later=later, timeout=120), give)
    assert result.stdout == "{\n" + rest.decode()


def test_stdin_that_is_cut_short(runner: SubprocessRunner) -> None:
    later = Later(b"{")
    Timer(0.1, later.cut).start()
    assert runner.run(Command(argv=CAT, later=later, timeout=120)).stdout == "{"


@pytest.mark.parametrize("how", ["is gone", "never started", "was never to be started"])
def test_who_gives_is_not_stuck_when_the_child(runner: SubprocessRunner, cancel: Cancel, how: str) -> None:
    later = Later(b"{")
    if how == "was never to be started":
        cancel.set("no more")
    if how == "never started":
        with pytest.raises(EnvironmentFault, match="cannot run"):
            runner.run(Command(argv=("/no/such/program",), later=later))
    else:
        runner.run(Command(argv=("true",), later=later))
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    later.give(b"x" * 300_000)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before - 1


def test_a_child_does_not_keep_the_stdin_of_another_open(runner: SubprocessRunner) -> None:
    later = Later(b"")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(runner.run, Command(argv=CAT, later=later, timeout=120))
        second = pool.submit(runner.run, Command(argv=("sleep", "600"), cancel=(stop := Cancel()), timeout=120))
        later.give(b"all")
        assert first.result().stdout == "all"
        assert not second.done()
        stop.set("enough")


def test_what_outlives_us_gets_nothing_later(runner: SubprocessRunner, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes no stdin"):
        runner.spawn(Command(argv=("true",), later=Later(b"")), tmp_path / "log")
