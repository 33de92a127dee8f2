"""buf: exact words, and what its answers mean. The messages were printed by buf 1.75."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.buf import commands
from devtools.buf.commands import Buf, Outcome
from devtools.errors import Location, Problem
from devtools.process.runner import Result

BUF = Buf(program=Path("/bin/buf"), root=Path("/repo"))
AUTH = "For details, visit https://buf.build/docs/bsr/authentication"


def test_commands() -> None:
    text = ("--log-format", "text")
    json = ("--error-format", "json")
    assert BUF.build().argv == ("/bin/buf", "build", "proto", "--output", "/dev/null", *json, *text)
    assert BUF.lint().argv == ("/bin/buf", "lint", "proto", *json, *text)
    against = ("--against", "/tmp/x.tar#format=tar,subdir=proto", "--exclude-imports")
    assert BUF.breaking(Path("/tmp/x.tar")).argv == ("/bin/buf", "breaking", "proto", *against, *json, *text)
    assert {command.cwd for command in (BUF.build(), BUF.lint(), BUF.push("t"))} == {Path("/repo")}


def test_the_token_is_in_the_environment_alone() -> None:
    command = BUF.push("canary-1@a.example,canary-2@b.example")
    assert command.argv == (
        "/bin/buf",
        "push",
        "proto",
        "--error-format",
        "json",
        "--timeout",
        "60s",
        *("--log-format", "text"),
    )
    assert command.env == {"BUF_TOKEN": "canary-1@a.example,canary-2@b.example"}
    assert {"canary-1", "canary-2"} < set(command.secrets)
    assert "canary" not in command.display()
    assert not BUF.build().env
    assert not BUF.lint().env


@pytest.mark.parametrize(
    ("messages", "outcome"),
    [
        (f"the BUF_TOKEN environment variable is not valid for buf.build. {AUTH}", Outcome.REJECTED),
        (f"the BUF_TOKEN environment variable is set, but is not valid. {AUTH}", Outcome.REJECTED),
        (f"you are not authenticated for buf.build. Set the BUF_TOKEN environment variable. {AUTH}", Outcome.REJECTED),
        (f'your Buf API token for buf.build is invalid. Run "buf registry login". {AUTH}', Outcome.REJECTED),
        ("invalid token: a@b@c", Outcome.REJECTED),
        ("permission_denied: 403 Forbidden", Outcome.DENIED),
        ("not_found: no such module", Outcome.MISSING),
        (
            'the server hosted at that remote is unavailable. Are you sure "buf.build" is a valid remote address?',
            Outcome.UNREACHABLE,
        ),
        ("the server hosted at that remote is unavailable.", Outcome.UNREACHABLE),
        ("timed out after 1 files: context deadline exceeded", Outcome.UNREACHABLE),
        ("resource_exhausted: slow down", Outcome.UNREACHABLE),
        ("internal: it broke", Outcome.FAILED),
        ('Module "path: "nowhere"" had no .proto files', Outcome.FAILED),
    ],
)
def test_failures_are_distinguished(messages: str, outcome: Outcome) -> None:
    result = Result(returncode=1, stderr=f"WARN\tsomething\nFailure: {messages}\n")
    assert commands.classify(result) is outcome
    assert commands.failure(result) == messages


def test_how_a_command_can_end_otherwise() -> None:
    assert commands.classify(Result(returncode=0)) is Outcome.OK
    assert commands.classify(Result(returncode=100)) is Outcome.FINDINGS
    assert commands.classify(Result(returncode=-9, timed_out=True)) is Outcome.UNREACHABLE
    assert commands.classify(Result(returncode=1)) is Outcome.FAILED
    assert commands.failure(Result(returncode=1)) == ""
    assert commands.failure(Result(returncode=2, stderr="panic: no\nlast\n\n")) == "last"


def test_findings_are_read_from_both_streams() -> None:
    lint = (
        '{"path":"proto/a.proto","start_line":3,"start_column":22,"end_line":3,"type":"FIELD_CASE","message":"bad"}\n'
    )
    gone = '{"start_line":1,"start_column":1,"type":"FILE_NO_DELETE","message":"gone"}\n'
    result = Result(returncode=100, stdout=lint, stderr="WARN\tx\n{not json\n" + gone)
    place = Location(file=Path("/repo/proto/a.proto"), line=3, column=22)
    assert commands.findings(result, Path("/repo")) == (
        Problem(where=place, message="bad", hint="FIELD_CASE"),
        Problem(where=Location(file=Path("/repo/proto/buf.yaml")), message="gone", hint="FILE_NO_DELETE"),
    )


def test_a_push_names_its_commit() -> None:
    name, made = "buf.example:8443/ameideio/ameide", "0123456789abcdef" * 2
    assert commands.commit(Result(returncode=0, stdout=f"{name}:{made}\n"), name) == made
    assert commands.commit(Result(returncode=0, stdout=f"buf.build/other/module:{made}\n"), name) == ""
    assert commands.commit(Result(returncode=0), name) == ""


@pytest.mark.parametrize("value", ["abc", "user:abc", "abc@buf.build", "a@b,c@d"])
def test_tokens_that_buf_reads(value: str) -> None:
    assert commands.is_token(value)


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "a@b@c", "a@b,c", "a,b", "@b", "a@", "a@b,"])
def test_tokens_that_buf_would_repeat(value: str) -> None:
    assert not commands.is_token(value)


FILES = st.dictionaries(st.text(min_size=1, max_size=5), st.binary(max_size=5), max_size=4)


@given(one=FILES, other=FILES)
def test_only_equal_files_have_equal_digests(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (commands.digest(one.items()) == commands.digest(reversed(other.items()))) is (one == other)


def test_a_push_names_its_labels_before_its_other_arguments() -> None:
    assert BUF.push("t", ("a", "b")).argv[1:7] == ("push", "proto", "--label", "a", "--label", "b")
    assert "--label" not in BUF.push("t").argv
