"""The verbs with the real buf, and a registry on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from devtools.app.environment import App
from devtools.commands import proto
from devtools.errors import ExitCode
from tests.kits.buf import CANARY, COMMIT, ROOT, Call, Repo, registry

push = proto.push
NAME = "buf.build/ameideio/ameide"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path)


def test_our_module_compiles_and_keeps_its_rules(repo: Repo) -> None:
    assert repo.run(proto.build).out == f"{NAME} compiles\n"
    assert repo.run(proto.lint).code is ExitCode.OK
    done = _buf(repo, "format", "--diff", "--exit-code", str(ROOT / "proto"))
    assert done.returncode == 0, done.stdout


def test_our_message_is_the_documented_document(repo: Repo) -> None:
    """The example of docs/output.md, through buf's JSON decoder, which knows each name and type."""
    example = (ROOT / "docs/output.md").read_text("utf-8").split("```json\n")[1].split("```")[0]
    document = json.loads(example)
    (repo.root / "in.json").write_text(example)
    words = ("convert", "proto", "--type", "ameide.core.v1.RunSummary", "--from", "in.json", "--to", "-#format=json")
    done = _buf(repo, *words)
    assert done.returncode == 0, done.stderr
    back = json.loads(done.stdout)
    assert (back["run"], back["exitCode"], back["layers"]) == (document["run"], 1, document["layers"])
    parts = ("releases", "tests", "contracts", "notices")
    for kind in parts:
        assert len(back.get(kind, [])) == len(document[kind])
    fields = set(repo.proto.read_text("utf-8").split())
    for name in (*document, *document["counts"], *(name for part in parts for name in document[part][0])):
        assert name in fields, f"{name} is documented and not in the message"


def test_what_does_not_compile_is_placed(repo: Repo) -> None:
    repo.edit("  string kind = 2;", "  Missing kind = 2;")
    done = repo.run(proto.build)
    assert done.code is ExitCode.FAILED
    assert "proto/ameide/core/v1/run_summary.proto:13:3: cannot find `Missing` in this scope (COMPILE)" in done.err


def test_a_broken_lint_rule_is_placed(repo: Repo) -> None:
    repo.edit("  string kind = 2;", "  string Kind = 2;")
    done = repo.run(lambda app: proto.lint(app, "json"), "json")
    assert done.code is ExitCode.FAILED
    assert done.document["exit_code"] == 1
    assert [(item["line"], item["hint"]) for item in done.document["problems"]] == [(13, "FIELD_LOWER_SNAKE_CASE")]


def test_breaking_compares_with_main(repo: Repo) -> None:
    repo.git("init", "-q", "-b", "main")
    repo.commit_all()
    repo.git("switch", "-q", "-c", "work")
    assert repo.run(proto.breaking).out == f"{NAME} has no breaking changes since main\n"
    repo.edit("  string kind = 2;", "  string sort = 2;")
    done = repo.run(proto.breaking)
    assert done.code is ExitCode.FAILED
    assert "run_summary.proto:13:10:" in done.err
    assert "FIELD_SAME_NAME" in done.err
    repo.commit_all()
    assert repo.run(proto.breaking).code is ExitCode.FAILED  # still: main is what it was
    assert repo.run(lambda app: proto.breaking(app, "HEAD")).code is ExitCode.OK


def test_breaking_works_in_worktrees_and_subdirectories(repo: Repo) -> None:
    repo.git("init", "-q", "-b", "main", "..")
    repo.commit_all()
    repo.git("worktree", "add", "-q", "-b", "work", "../linked")
    linked = Repo(root=repo.root.parent / "linked" / "repo", environ=repo.environ)
    linked.edit("  string kind = 2;", "")
    done = linked.run(proto.breaking)
    assert done.code is ExitCode.FAILED
    assert "FIELD_NO_DELETE" in done.err


def test_breaking_without_something_to_break(repo: Repo) -> None:
    repo.git("init", "-q", "-b", "main")
    repo.git("commit", "-q", "--allow-empty", "-m", "x")
    done = repo.run(lambda app: proto.breaking(app, output="json"), "json")
    assert (done.code, done.document["result"]) == (ExitCode.OK, "nothing to compare")
    done = repo.run(lambda app: proto.breaking(app, "--output=x"))
    assert done.code is ExitCode.CONFIG
    assert "git has no ref --output=x here" in done.err


def test_no_token_fails_before_anything_is_built(repo: Repo) -> None:
    calls = repo.fake_buf("exit 0")
    done = repo.run(push)
    assert done.code is ExitCode.CONFIG
    assert "BUF_TOKEN is not set" in done.err
    assert not calls.exists()


def test_no_push_needs_no_token(repo: Repo) -> None:
    done = repo.run(lambda app: proto.push(app, publish=False))
    assert done.code is ExitCode.OK
    assert "clusters will see the last published module" in done.out
    assert not repo.state.exists()


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ("unauthenticated", ExitCode.CONFIG, "rejected the token in BUF_TOKEN"),
        ("permission_denied", ExitCode.CONFIG, "refused to let this token push"),
        ("not_found", ExitCode.CONFIG, "has no module"),
        ("unavailable", ExitCode.ENVIRONMENT, "cannot be reached"),
        ("internal", ExitCode.ENVIRONMENT, "internal: says internal"),
    ],
)
def test_answers_of_a_registry_are_distinguished(repo: Repo, answer: str, code: ExitCode, says: str) -> None:
    calls: list[Call] = []
    with registry(answer, calls) as port:
        repo.use_registry(port)
        done = repo.run(push, BUF_TOKEN=CANARY)
    assert done.code is code
    assert says in done.err
    assert {call.authorization for call in calls} == {f"Bearer {CANARY}"}  # it did arrive
    assert CANARY not in done.out + done.err
    assert not repo.state.exists()
    assert not [path for path, content in repo.files() if CANARY.encode() in content]


def test_a_registry_that_is_not_there(repo: Repo) -> None:
    with registry("internal", []) as port:
        pass  # now nobody listens
    repo.use_registry(port)
    (repo.root / ".env").write_text(f"BUF_TOKEN={CANARY}\n")
    done = repo.run(push)
    assert done.code is ExitCode.ENVIRONMENT
    assert f"127.0.0.1:{port} cannot be reached" in done.err
    assert "--no-push" in done.err
    assert CANARY not in done.out + done.err


def test_a_module_is_not_pushed_twice(repo: Repo) -> None:
    calls: list[Call] = []
    with registry("ok", calls) as port:
        repo.use_registry(port)
        done = repo.run(lambda app: proto.push(app, output="json"), "json", BUF_TOKEN=CANARY)
        assert (done.document["result"], done.document["commit"]) == ("pushed", COMMIT)
        assert [call.method for call in calls] == ["GetModules", "Upload"]
        assert calls[1].size > len(repo.proto.read_bytes())  # the files themselves
        assert {call.authorization for call in calls} == {f"Bearer {CANARY}"}

        done = repo.run(push, BUF_TOKEN=CANARY)
        assert done.code is ExitCode.OK
        assert f"as it was last pushed (commit {COMMIT}): not pushed again" in done.out
        assert len(calls) == 2
        assert repo.run(lambda app: proto.push(app, force=True), BUF_TOKEN=CANARY).code is ExitCode.OK
        assert len(calls) == 4
        repo.edit("// Only planned.", "// Planned only.")
        assert "is pushed" in repo.run(push, BUF_TOKEN=CANARY).out
        assert len(calls) == 6
        repo.state.write_text("{}")  # nobody can tell any more
        assert "is pushed" in repo.run(push, BUF_TOKEN=CANARY).out
        assert len(calls) == 8
    assert not [path for path, content in repo.files() if CANARY.encode() in content]


def test_a_push_with_another_label_is_another_push(repo: Repo) -> None:
    calls = repo.fake_buf("exit 0")

    def labelled(*labels: str) -> str:
        return repo.run(lambda app: proto.push(app, labels=labels), BUF_TOKEN=CANARY).out

    assert "is pushed" in labelled("b", "a")
    assert "not pushed again" in labelled("a", "b")
    assert "is pushed" in labelled()
    assert "not pushed again" in labelled()
    assert "is pushed" in labelled("a")
    printed = [line for line in calls.read_text().splitlines() if line.startswith("push")]
    assert [line.count("--label") for line in printed] == [2, 0, 1]


def test_a_file_saved_during_a_push_is_pushed_again(repo: Repo) -> None:
    calls = repo.fake_buf("echo '// more' >> proto/ameide/core/v1/run_summary.proto")
    for _ in range(2):
        assert "is pushed" in repo.run(push, BUF_TOKEN=CANARY).out
    assert _pushes(calls) == 2


def test_the_token_reaches_the_push_alone_and_is_shown_nowhere(repo: Repo) -> None:
    calls = repo.fake_buf('echo "Failure: I was given $BUF_TOKEN" >&2; exit 1')
    done = repo.run(push, BUF_TOKEN=CANARY)
    assert done.code is ExitCode.ENVIRONMENT
    assert "I was given ***" in done.err
    assert [line.rpartition("=")[2] for line in calls.read_text().splitlines()] == ["0", str(len(CANARY))]
    assert CANARY not in done.err + done.out + calls.read_text()


def test_a_push_that_is_stopped_says_so_and_remembers_nothing(repo: Repo) -> None:
    repo.fake_buf("sleep 600")
    timers: list[Timer] = []

    def verb(app: App) -> ExitCode:
        timers.append(Timer(0.5, app.cancel.set, ["asked to stop"]))
        timers[0].start()
        return proto.push(app)

    done = repo.run(verb, BUF_TOKEN=CANARY)
    timers[0].join()
    assert done.code is ExitCode.INTERRUPTED
    assert "asked to stop" in done.err
    assert not repo.state.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no protobuf module here"),
        ("version: v2\nmodules: [", "proto/buf.yaml:3:1"),
        ("version: v2\n", "no name REMOTE/OWNER/MODULE"),
        ("version: v2\nname: a//b\n", "no name REMOTE/OWNER/MODULE"),
        ("version: v2\nname: !!int x\n", "proto/buf.yaml:2:7"),
        ("version: v2\nname: 2024-99-99\n", "no name REMOTE/OWNER/MODULE"),
        ("- " * 4000 + "a\n", "proto/buf.yaml:1:1"),
    ],
)
def test_a_module_that_cannot_be_used(repo: Repo, text: str | None, says: str) -> None:
    path = repo.root / "proto/buf.yaml"
    path.unlink() if text is None else path.write_text(text)
    done = repo.run(proto.build)
    assert done.code is ExitCode.CONFIG
    assert says in done.err


def test_a_pipe_is_no_module(repo: Repo) -> None:
    """Nobody writes into it: it is not waited for."""
    path = repo.root / "proto/buf.yaml"
    path.unlink()
    os.mkfifo(path)
    for verb in (proto.build, proto.lint):
        done = repo.run(verb)
        assert done.code is ExitCode.CONFIG
        assert f"{path}: it is not a regular file" in done.err
    path.unlink()
    path.write_text("version: v2\nname: buf.build/acme/api\n")
    os.mkfifo(repo.root / "proto/pipe.proto")
    assert repo.run(proto.build).code is ExitCode.OK, "buf passes by what is no file, and so does the digest"


def test_the_result_document_is_as_documented(repo: Repo) -> None:
    text = (ROOT / "docs/proto.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([a-z]+)` \|", text.split("## `proto`")[1], re.MULTILINE))
    repo.fake_buf(f"echo {NAME}:{COMMIT}")
    done = repo.run(lambda app: proto.push(app, output="json"), "json", BUF_TOKEN=CANARY)
    assert set(done.document) == documented
    assert done.err == f"building {NAME}\npushing {NAME}\n"


def _buf(repo: Repo, *words: str) -> subprocess.CompletedProcess[str]:
    """The real one, by hand."""
    argv = (str(Path(sys.executable).parent / "buf"), *words)
    return subprocess.run(argv, check=False, cwd=repo.root, capture_output=True, text=True, env=repo.environ)


def _pushes(calls: Path) -> int:
    return sum(line.startswith("push ") for line in calls.read_text().splitlines())
