"""What is secret, and every form in which a known secret may be printed; the cases are in `cases/secrets.yaml`."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools.redaction import Redactor, hidden, is_secret, secret_values
from devtools.redaction.origin import marked, marked_at, marked_in, marked_keys

CASES = yaml.load((Path(__file__).parents[1] / "cases" / "secrets.yaml").read_text(), yaml.CSafeLoader)
SECRET = 'hunter22-"quoted"<&>\\ä'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


@pytest.mark.parametrize("case", CASES["values"], ids=lambda case: case["why"])
def test_secrets_are_found_in_values_and_hidden_in_copies(case: dict[str, Any]) -> None:
    assert sorted(secret_values(case["in"])) == sorted(case["hidden"])
    copy = hidden(case["in"], Redactor().text)
    assert [secret for secret in case["hidden"] if secret in json.dumps(copy, ensure_ascii=False)] == []
    if not case["hidden"]:
        assert copy == case["in"]


@pytest.mark.parametrize("case", CASES["texts"], ids=lambda case: case["in"][:40])
def test_secrets_are_hidden_in_texts_by_what_stands_before_them(case: dict[str, Any]) -> None:
    shown = Redactor().text(case["in"])
    assert shown == case.get("out", case["in"])
    assert Redactor().text(shown) == shown, "hiding twice changes nothing"


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda value: value,
    "in JSON": lambda value: json.dumps({"a": value}),
    "in JSON within JSON": lambda value: json.dumps({"a": value}, ensure_ascii=False),
    "as Go writes JSON": lambda value: (
        json.dumps(value, ensure_ascii=False).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    ),
    "in a URL": lambda value: quote(value, safe=""),
    "in base64": lambda value: base64.b64encode(value.encode()).decode(),
    "in base64, after a user name": lambda value: base64.b64encode(f"a:{value}".encode()).decode(),
    "in base64, after two characters": lambda value: base64.b64encode(f"ab{value}x".encode()).decode(),
    "in colours": lambda value: f"{value[:4]}\x1b[1;31m{value[4:]}\x1b[0m",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_hidden_in_every_form(form: str) -> None:
    printed = FORMS[form](SECRET)
    shown = Redactor([SECRET]).text(f"before {printed} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    for part in (SECRET, SECRET[:6], printed):
        assert part not in shown


@pytest.mark.parametrize("width", [64, 76])
def test_a_long_secret_in_base64_is_hidden_line_by_line(width: int) -> None:
    coded = base64.b64encode(("0123456789abcdef" * 40 + "rest").encode()).decode()
    redactor = Redactor([base64.b64decode(coded).decode()])
    assert {redactor.text(line) for line in textwrap.wrap(coded, width)} == {"***"}


def test_every_line_of_a_multiline_secret_is_hidden() -> None:
    redactor = Redactor([KEY, "server:\n  port: 8080\n  password: hunter22\nworkers: 40000\n"])
    assert [redactor.text(line) for line in KEY.splitlines()] == ["***"] * 4
    assert redactor.text("workers: 40000") == "workers: 40000"
    assert redactor.text("x: hunter22") == "x: hunter22"


def test_short_and_common_words_are_not_looked_for() -> None:
    redactor = Redactor(["true", "short", "password", "postgres", "clickhouse"])
    assert redactor.text("clickhouse") == "***"
    assert redactor.text("is the postgres password true or short?") == "is the postgres password true or short?"
    spared = Redactor()
    spared.spare(["clickhouse"])
    spared.add(["clickhouse"])
    assert spared.text("ameide/clickhouse") == "ameide/clickhouse"


def test_secrets_that_overlap_are_hidden_together() -> None:
    assert Redactor(["abcdef12", "cdef1234", "abcdef1234-longer"]).text("x abcdef1234 y") == "x *** y"


@given(st.text(min_size=12, max_size=200), st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_secret_is_it_is_hidden(core: str, before: str, after: str) -> None:
    secret = f"s3cr3t{core}t3rc3s"
    shown = Redactor([secret]).text(f"{before}{secret}{after}")
    assert secret not in shown


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("data", "DB_PASSWORD"), "x", True),
        (("spec", "db", "passwordSecret", "name"), None, False),
        (("data", "a"), "plain", False),
        (("auth", "secretKey"), "x7Gh2kQ9zz", True),
        (("auth", "secretKey"), "password", False),
    ],
)
def test_a_path_of_keys(path: tuple[str, ...], value: object, expected: object) -> None:
    assert is_secret(path, value) is expected


REPEATED = [
    "a",
    "a-",
    "a.",
    "a:",
    "[a:b",
    "{a:",
    "{{",
    "\\",
    '"',
    "'",
    "<",
    "=",
    ":",
    "/",
    "-",
    "@",
    "eyJ-",
    "eyJabcdefghi.",
    "key-a",
    "cookie:",
    "://",
    "a://b:",
    "<key>",
    "-----BEGIN",
    "\x1b[",
    "aGlkZGVu",
    " ",
    " a:b",
    "}} ",
    "key ",
    "basic ",
    "key = ",
    "\n ",
    "key:\n",
    "service-account-backend-",
    'key:"',
    "password:",
    "key:\n ",
    "name: key\n",
    "<key>a",
    "key # ",
]
ENDLESS = """
import json, sys
from devtools.redaction import Redactor, hidden
redactor = Redactor(["aGlkZGVu", "hidden", "hunter22"])
for part in json.loads(sys.stdin.read()):
    long = part * (65536 // len(part))
    redactor.text("key: service-" + long + "_X")
    hidden({"key": "service-" + long + "_X", "secretKey": long + "_X"}, str)
"""


def test_no_text_makes_the_search_endless() -> None:
    """A pattern that tries every division of a text hangs, and then not even Ctrl-C ends the run."""
    subprocess.run([sys.executable, "-c", ENDLESS], input=json.dumps(REPEATED), text=True, check=True, timeout=300)


def test_deployed_values_at_marked_keys_are_secret() -> None:
    now = {"words": ["--debug", marked("--with=new")], "listen": marked("new"), "deep": {"a": marked(1), "b": "x"}}
    before = {
        "words": ["--debug", "--with=old"],
        "listen": {"on": "older"},
        "deep": {"a": 47114711, "b": "y"},
        "c": "z",
    }
    found = set(marked_in(marked_at(before, marked_keys(now))))
    assert found == {"--with=old", "47114711", "4.7114711e+07", "older"}
    assert marked_keys({"plain": {"a": 1}, "list": ["b"]}) is None
