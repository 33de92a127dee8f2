"""Where the token comes from, and that nothing of a broken line is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.buf.token import find_token
from devtools.errors import ConfigError


def _env(root: Path, text: str | bytes) -> Path:
    path = root / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_environment_comes_first(tmp_path: Path) -> None:
    _env(tmp_path, 'this is "broken\n')  # and is not even read
    assert find_token({"BUF_TOKEN": " abc\n"}, tmp_path) == "abc"


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("BUF_TOKEN=abc\n", "abc"),
        ("# one\n\nOTHER=x\nexport BUF_TOKEN='abc' # mine\n", "abc"),
        ("BUF_TOKEN=old\nBUF_TOKEN=new\n", "new"),
        ('A=x\nBUF_TOKEN="p${A}q"', "p${A}q"),  # as it is written
        (b"\xef\xbb\xbfBUF_TOKEN=abc\r\n", "abc"),
        ("BUF_TOKEN=a@one.example,b@two.example\n", "a@one.example,b@two.example"),
    ],
)
@pytest.mark.parametrize("environ", [{}, {"BUF_TOKEN": ""}, {"BUF_TOKEN": " "}])
def test_else_the_file(tmp_path: Path, text: str | bytes, token: str, environ: dict[str, str]) -> None:
    _env(tmp_path, text)
    assert find_token(environ, tmp_path) == token


@pytest.mark.parametrize("text", [None, "", "BUF_TOKEN=\n", "BUF_TOKEN=''\n", "OTHER=x\n", "#BUF_TOKEN=abc\n"])
def test_none_says_where_to_put_it_and_why(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        _env(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        find_token({}, tmp_path)
    assert "before Helm" in caught.value.message
    assert str(tmp_path / ".env") in caught.value.hint
    assert "--no-push" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('A=1\nB="canary\n', [2]),
        ("\n\n\nA B canary\n", [4]),
        ("BUF_TOKEN canary\nA=1\n\n  =canary\n", [1, 4]),
        ("BUF_TOKEN\n", [1]),
        ("A=1\n\nBUF_TOKEN=canary canary\n", [3]),
        ("BUF_TOKEN=canary@a@b\n", [1]),
        (b"A=1\nBUF_TOKEN=canary\xff\n", [2]),
    ],
)
def test_a_malformed_line_is_named_and_not_shown(tmp_path: Path, text: str | bytes, lines: list[int]) -> None:
    path = _env(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        find_token({}, tmp_path)
    assert [(problem.where.file, problem.where.line) for problem in caught.value.problems] == [
        (path, line) for line in lines
    ]
    assert "canary" not in caught.value.message + caught.value.hint + "".join(map(str, caught.value.problems))


def test_an_environment_that_is_no_token_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_token({"BUF_TOKEN": "canary canary"}, tmp_path)
    assert "canary" not in caught.value.message + caught.value.hint
