"""Commands as a shell script: what sh(1) makes of them is what was meant."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from devtools.bootstrap.dry_run_script import Line, as_json, script, shell
from devtools.process.runner import Command

PRINT = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('A'), os.getcwd(), sys.stdin.read()]))"
ODD = ("a b", "it's", '"x"', "$HOME `id`", "*", "")


def sh(text: str, cwd: Path) -> str:
    done = subprocess.run(["sh", "-eu"], input=text, cwd=cwd, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.mark.parametrize("stdin", [b"", b"{\n}\n", b"EOF\nEOF_\n$HOME `id` \\\n"], ids=str)
def test_words_environment_directory_and_input_survive(tmp_path: Path, stdin: bytes) -> None:
    where = tmp_path / "a b"
    where.mkdir()
    command = Command(argv=("python3", "-c", PRINT, *ODD), env={"A": "$x 'y'"}, cwd=where, stdin=stdin or None)
    text = script([Line(stage="one", command=command)])
    assert text.startswith("# one\n")
    words, variable, directory, read = json.loads(sh(text + "\n" if stdin else text.rstrip() + " </dev/null", tmp_path))
    assert (words, variable, directory) == (list(ODD), "$x 'y'", str(where))
    assert read == stdin.decode()


def test_output_goes_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    to = tmp_path / "new dir" / "kubeconfig"
    line = Line(stage="x", command=Command(argv=("printf", "server: a\\n")), to=to, through=("sed", "s/a/b c/"))
    sh(shell(line), tmp_path)
    assert to.read_text() == "server: b c\n"
    assert to.stat().st_mode & 0o777 == 0o600


def test_one_that_stays_leaves_its_number_and_its_log(tmp_path: Path) -> None:
    log, pid = tmp_path / "run/x.log", tmp_path / "run/x.pid"
    command = Command(argv=("sh", "-c", "echo $$; echo $A >&2; exec sleep 60"), env={"A": "b"}, cwd=tmp_path)
    sh(shell(Line(stage="x", command=command, log=log, pid=pid)), tmp_path)
    number = int(pid.read_text())
    try:
        while log.read_text().count("\n") < 2:
            pass
        assert log.read_text().split() == [str(number), "b"]
    finally:
        subprocess.run(["kill", "-9", str(number)], check=True)


def test_what_is_skipped_is_a_comment(tmp_path: Path) -> None:
    line = Line(stage="x", command=Command(argv=("false",)), skipped="not installed")
    assert script([line]) == "# x\n# not installed: false\n"
    assert sh(script([line]), tmp_path) == ""


def test_a_secret_is_in_neither_form() -> None:
    line = Line(stage="x", command=Command(argv=("push", "t0k3n"), secrets=("t0k3n",)))
    assert "t0k3n" not in shell(line) + json.dumps(as_json(line))
