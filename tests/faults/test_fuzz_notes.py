"""Whatever lies where a note of ours should, it is read, or taken for none; and files of other tools that we read.

A note is written whole or not at all, but a disk that was full, and hands, have been known to.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from devtools.clusters.embedded.layout import Layout
from devtools.clusters.embedded.status import ClusterMetadata, read_metadata
from devtools.commands.proto import STATE, last_push, module_of
from devtools.errors import ConfigError
from devtools.locks.run_lock import note_of, under_way
from devtools.process.runner import Cancel
from devtools.testing import FakeRunner, Reply
from devtools.tilt.harness.files import Files
from devtools.tilt.harness.settings import FILE, Config
from devtools.tilt.harness.values import Refused
from devtools.toolchain.probe import Probe
from devtools.toolchain.prune import builds
from devtools.toolchain.store import MANIFEST, Store
from devtools.toolchain.versions import tool
from tests.kits.fuzzing import LAX_JSON, ODD_JSON, SLOW, documents, scratch
from tests.kits.stack import write

BUF = "version: v2\nmodules:\n  - {path: proto, name: buf.build/acme/shop}\nlint: {use: [STANDARD]}\n"
ENTRY = "helm-0123456789abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A file below a directory, what a good one holds, and what reads it."""

    file: str
    good: str
    read: Callable[[Path], object]
    yaml: bool = False


def _store(root: Path) -> Store:
    return Store(root, Cancel(), 1.0)


def _arguments(root: Path) -> object:
    files = Files(roots=(root.resolve(),), directory=lambda: root, watch=lambda _: None)
    made = Config(words=(), files=files, kinds={"a": "string", "b": "string_list"})
    try:
        return made.parse({})
    except Refused as error:
        return str(error)


SHELL = Path(shutil.which("sh") or "")
HELM = tool("helm")
STAMP = [SHELL.stat().st_mtime_ns, SHELL.stat().st_size, list(HELM.ask)]


def _looked(root: Path) -> object:
    runner = FakeRunner().on("sh", Reply(stdout="v4.3.1"))
    observed = Probe(runner, str(SHELL.parent), root / "path.json").look(replace(HELM, name="sh"))
    return observed and HELM.accepts(observed[1]) and not runner.commands


NOTES = {
    "the last push": Note(
        file=str(STATE),
        good='{"version": 1, "pushed": {"buf.build/acme/shop": {"digest": "a", "commit": "b", "labels": ""}}}',
        read=lambda root: last_push(module_of(root)),
    ),
    "a module": Note(file="proto/buf.yaml", good=BUF, read=module_of, yaml=True),
    "who runs": Note(
        file=note_of(Path(), "s").name,
        good='{"pid": 1, "what": "invoke up", "started": "now"}',
        read=lambda root: under_way(root, "s"),
    ),
    "a build": Note(
        file=f"{ENTRY}/{MANIFEST}",
        good='{"sizes": {"helm": 1}, "version": "4.0.0", "family": "helm"}',
        read=lambda root: (_store(root).find(ENTRY, "helm"), list(builds(root))),
    ),
    "a builder": Note(
        file=f"{ENTRY}.builder", good='{"pid": 7, "since": 1.5}', read=lambda root: _store(root).holder(ENTRY)
    ),
    "a cluster": Note(
        file="state/ready.json",
        good='{"format": 2, "api_port": 1, "kubelet_port": 2,'
        ' "link": 5, "joinable": true, "nodes": 3, "simulation": "a", "real_node": ""}',
        read=lambda root: read_metadata(Layout(name="c", state=root / "state")),
    ),
    "PATH": Note(file="path.json", good=json.dumps({str(SHELL): {"stamp": STAMP, "version": "4.3.2"}}), read=_looked),
    "Tilt's settings": Note(file=FILE, good='{"a": "x", "b": ["y"]}', read=_arguments),
}


def _root(directory: str) -> Path:
    return write(Path(directory), {"proto/buf.yaml": BUF, "Tiltfile": "", f"{ENTRY}/bin/helm": "x", "state/x": ""})


@pytest.mark.parametrize("name", NOTES)
def test_a_good_note_is_read(tmp_path: Path, name: str) -> None:
    note = NOTES[name]
    assert note.read(write(_root(str(tmp_path)), {note.file: note.good}))


@pytest.mark.parametrize("name", NOTES)
def test_a_pipe_in_place_of_a_note_is_no_note(tmp_path: Path, name: str) -> None:
    """Nobody writes into it: whoever waited for that would wait for ever, whatever signal comes."""
    note = NOTES[name]
    good = note.read(write(_root(str(tmp_path / "good")), {note.file: note.good}))
    root = write(_root(str(tmp_path / "bad")), {note.file: ""})
    (root / note.file).unlink()
    os.mkfifo(root / note.file)
    try:
        assert note.read(root) != good
    except ConfigError:
        assert note.yaml


@pytest.mark.parametrize("name", NOTES)
@SLOW
@given(data=st.data())
def test_whatever_a_note_holds(name: str, data: st.DataObject) -> None:
    note = NOTES[name]
    raw = data.draw(documents(note.good) if note.yaml else documents(note.good, odd=(*ODD_JSON, *LAX_JSON)))
    with scratch() as directory:
        root = write(_root(directory), {note.file: raw})
        try:
            event("read" if note.read(root) else "none")
        except ConfigError:
            assert note.yaml
            event("refused")


def test_a_record_is_what_was_remembered(tmp_path: Path) -> None:
    note = NOTES["a cluster"]
    found = note.read(write(_root(str(tmp_path)), {note.file: note.good}))
    assert found == ClusterMetadata(
        format=2, api_port=1, kubelet_port=2, link=5, joinable=True, nodes=3, simulation="a"
    )
