"""tilt: exact words, and what its answers mean; outputs in the form of tilt.dev/v1alpha1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devtools.bootstrap import tilt_commands
from devtools.bootstrap.tilt_commands import Tilt

TILT = Tilt(program=Path("/bin/tilt"), root=Path("/repo"), kubeconfig=Path("/state/kubeconfig"), context="k3d-dev")
SERVER = ("--host", "127.0.0.1", "--port", "10350")
CONTEXT = ("--context", "k3d-dev")


def test_commands() -> None:
    assert TILT.up("--layers", "10,15").argv == (
        *("/bin/tilt", "up", "--stream", *SERVER, *CONTEXT),
        *("--", "--layers", "10,15"),
    )
    assert TILT.up().argv[-1] == "k3d-dev"  # and no `--` with nothing after it
    assert TILT.resources().argv == ("/bin/tilt", "get", "uiresources", "--output", "json", *SERVER)
    assert TILT.session().argv == ("/bin/tilt", "get", "session", "--output", "json", *SERVER)


def test_the_cluster_is_passed_to_each_command() -> None:
    for command in (TILT.up(), TILT.resources(), TILT.session()):
        assert command.env == {"KUBECONFIG": "/state/kubeconfig"}
        assert command.cwd == Path("/repo")
    assert TILT.up().timeout is None  # it is to stay


def test_the_address_for_a_browser() -> None:
    assert TILT.url == "http://127.0.0.1:10350/"
    assert replace(TILT, host="0.0.0.0", port=1).url == "http://127.0.0.1:1/"
    assert replace(TILT, host="box").url == "http://box:10350/"


def test_the_process_of_a_session() -> None:
    assert tilt_commands.pid('{"items": [{"kind": "Session", "status": {"pid": 4711}}]}') == 4711
    assert tilt_commands.pid('{"items": [{"kind": "Session"}]}') is None
    assert tilt_commands.pid('{"items": []}') is None


@pytest.mark.parametrize("output", ["", "No tilt apiserver found", "[]", '{"items": null}', '{"items": ["x"]}'])
def test_what_is_no_list_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        tilt_commands.tiltfile_error(output)


def test_the_cluster_that_a_running_tilt_works_on() -> None:
    assert TILT.cluster().argv == ("/bin/tilt", "get", "cluster", "default", "--output", "json", *SERVER)
    connected = {"status": {"connection": {"kubernetes": {"context": "k3d-dev", "namespace": "default"}}}}
    assert tilt_commands.context(json.dumps(connected)) == "k3d-dev"
    assert tilt_commands.context('{"status": {"error": "no route"}}') == ""
    for output in ("", "[]", "{}"):
        with pytest.raises(ValueError, match=r".+"):
            tilt_commands.context(output)


def test_tilt_and_its_children_differ_by_command_line_only() -> None:
    assert tilt_commands.is_server(TILT.up("--no-push").argv)
    assert tilt_commands.is_server(("/usr/bin/python", *TILT.up().argv)), "a wrapper"
    assert not tilt_commands.is_server(("/bin/tilt", "ci", *SERVER))
    assert not tilt_commands.is_server(("python", "-m", "invoke", "layer", "40-data-plane"))
    assert not tilt_commands.is_server(())


def tiltfile(**status: Any) -> str:
    """The answer of Tilt 0.37.6 about a Tiltfile, without what is not read."""
    return json.dumps({"kind": "List", "items": [{"metadata": {"name": "(Tiltfile)"}, "status": status}]})


def test_the_error_of_a_tiltfile_has_its_reason_first() -> None:
    text = (
        "Traceback (most recent call last):\n  /repo/Tiltfile:3:5: in <toplevel>\n"
        "  /repo/more.star:9:9: in app\nError in fail: no such thing"
    )
    reason = "Error in fail: no such thing\n  /repo/more.star:9:9: in app\n  /repo/Tiltfile:3:5: in <toplevel>"
    assert tilt_commands.tiltfile_error(tiltfile(updateStatus="error", buildHistory=[{"error": text}])) == reason
    syntax = "/repo/Tiltfile:3:5: got newline, want ')'"
    assert tilt_commands.tiltfile_error(tiltfile(updateStatus="error", buildHistory=[{"error": syntax}])) == syntax
    assert tilt_commands.tiltfile_error(tiltfile(updateStatus="error")) == "no reason given"


def test_a_tiltfile_being_loaded_has_neither_failed_nor_loaded() -> None:
    assert tilt_commands.tiltfile_error(tiltfile(updateStatus="ok", buildHistory=[{"error": ""}])) == ""
    for status in ("none", "pending", "in_progress"):
        assert (
            tilt_commands.tiltfile_error(tiltfile(updateStatus=status, buildHistory=[{"error": "an earlier one"}]))
            is None
        )
    assert tilt_commands.tiltfile_error('{"items": []}') is None
    with pytest.raises(ValueError, match=r".+"):
        tilt_commands.tiltfile_error("No tilt apiserver found")
