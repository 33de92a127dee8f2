"""A repository that one does not trust: reading it runs nothing of it. (Its `tasks.py` is code, and is not ours.)"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.buf.token import find_token
from devtools.commands import charts, layers, runs, specs, values
from devtools.errors import ConfigError, EnvironmentFault, ExitCode
from devtools.report.files import run_directory
from tests.kits.repository import Repo
from tests.kits.verbs import Done, call

DRY = Options(dry_run=True)
READERS: dict[str, Callable[[App], ExitCode]] = {
    "layers": lambda app: layers.layers(app, "", Options()),
    "plan": lambda app: runs.plan(app, "", Options(output="json")),
    "values": lambda app: values.show(app, "conf", Options(), explain=True),
    "specs": lambda app: specs.specs(app, Options()),
    "layer": lambda app: runs.layer(app, "10", DRY),
    "up": lambda app: runs.up(app, DRY),
    "down": lambda app: runs.down(app, DRY),
    "charts.list": lambda app: charts.show(app, "text"),
    "charts.verify": lambda app: charts.verify(app, "text"),
}


def _ask(repo: Repo, verb: str) -> Done:
    """A verb as a task calls it, in this process: a test of reading needs no fifty new ones."""
    return call(READERS[verb], "text", environ={**repo.environ, **NOWHERE}, cwd=repo.path)


NOWHERE = {"DEVTOOLS_CLUSTER": "nothing-here"}
PYTHON = "!!python/object/apply:os.system ['touch {mark}']"
WAYS: dict[str, Callable[[Repo, str], object]] = {
    "layer file": lambda repo, tag: repo.edit("layers/10-base.yaml", "say: hello", f"say: {tag}"),
    "defaults": lambda repo, tag: repo.write("layers/_defaults.yaml", f"helm: {tag}\n"),
    "overlay": lambda repo, tag: repo.write("environments/local/10-base/conf.yaml", f"say: {tag}\n"),
    "environment": lambda repo, tag: repo.write("environments/local/environment.yaml", f"a: {tag}\n"),
    "settings": lambda repo, tag: repo.write("devtools.yaml", f"name: {tag}\n"),
    "lock": lambda repo, tag: repo.write("charts/third_party/lock.yaml", f"charts: {tag}\n"),
    "chart": lambda repo, tag: repo.write("charts/platform/conf/Chart.yaml", f"name: conf\nversion: {tag}\n"),
    "defaults of a chart": lambda repo, tag: repo.write("charts/platform/conf/values.yaml", f"say: {tag}\n"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_tag_that_would_call_something_is_refused_or_is_text(offline: Repo, way: str) -> None:
    mark = offline.path / "executed"
    WAYS[way](offline, PYTHON.format(mark=mark))
    for verb in READERS:
        printed = _ask(offline, verb)
        assert printed.code in (ExitCode.OK, ExitCode.CONFIG, ExitCode.ENVIRONMENT), printed
        assert not mark.exists()


def test_only_a_sync_runs_the_commands_before_it(offline: Repo) -> None:
    mark = offline.path / "executed"
    run = f'[{{run: [touch, "{mark}"]}}]\n'
    offline.edit("layers/10-base.yaml", "    values:", f"    before: {run}    after: {run}    values:")
    offline.write("devtools.yaml", f"before: {run}after: {run}")
    for verb in READERS:
        printed = _ask(offline, verb)
        assert printed.code in (ExitCode.OK, ExitCode.ENVIRONMENT), printed
        assert not mark.exists(), verb
    document = json.loads(_ask(offline, "plan").out)
    (conf, _) = document["releases"]
    assert conf["before"] == conf["after"] == document["before"] == document["after"] == [f"touch {mark}"]
    shown = "".join(_ask(offline, "layer").out.split())
    assert shown.count(f"runstouch{mark}") == 4
    assert shown.count(f"thenrunstouch{mark}") == 2


@pytest.mark.cluster
def test_commands_before_a_sync_are_read_by_no_shell(repo: Repo) -> None:
    words = ["printf", "%s|", "a; touch executed", "$(touch executed)", "`touch executed`", "*", "$HOME", "&&", "> x"]
    hook = f"    before:\n      - {{run: {json.dumps(words)}}}\n    values:"
    repo.edit("layers/10-base.yaml", "    values:", hook)
    typed = repo.invoke("layer", "10", "--verbose")
    assert typed.code == 0, typed.text
    assert "a; touch executed|$(touch executed)|`touch executed`|*|$HOME|&&|> x|" in typed.out + typed.err
    assert not (repo.path / "executed").exists()
    assert not (repo.path / "x").exists()


@pytest.mark.parametrize("value", ["$(touch executed)", "`touch executed`", "'$(touch executed)'", "a\ntouch executed"])
def test_an_env_file_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"BUF_TOKEN={value}\n")
    with pytest.raises(ConfigError) as caught:
        find_token({}, tmp_path)
    assert "touch" not in str(caught.value.problems)
    assert not (tmp_path / "executed").exists()


def _archive(*members: tuple[str, str], link: str = "") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, text in members:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        if link:
            info = tarfile.TarInfo("tool/templates/link.yaml")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return gzip.compress(raw.getvalue())


CHART = ("tool/Chart.yaml", "apiVersion: v2\nname: tool\nversion: 1.0.0\n")
ARCHIVES = {
    "out of its directory": _archive(CHART, ("tool/../../../executed", "x")),
    "an absolute path": _archive(CHART, ("/tmp/executed-by-a-chart", "x")),
    "a link to elsewhere": _archive(CHART, link="/etc/passwd"),
    "a tag that would call something": _archive(("tool/Chart.yaml", "name: !!python/object/apply:os.getcwd []\n")),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_with_paths_outside_is_refused_first(offline: Repo, case: str) -> None:
    raw = ARCHIVES[case]
    folder = offline.path / "charts/third_party/acme/tool"
    folder.mkdir(parents=True)
    (folder / "tool-1.0.0.tgz").write_bytes(raw)
    entry = {
        "publisher": "acme",
        "name": "tool",
        "version": "1.0.0",
        "repository": "https://charts.example.com",
        "sha256": hashlib.sha256(raw).hexdigest(),
        "license": "MIT",
    }
    offline.write("charts/third_party/lock.yaml", json.dumps({"charts": [entry]}))
    offline.edit("layers/10-base.yaml", "platform/conf", "acme/tool")
    before = sorted(offline.path.parent.rglob("*"))
    for verb in ("plan", "layer", "up"):
        printed = _ask(offline, verb)
        assert printed.code is ExitCode.CONFIG, printed
    assert [path for path in sorted(offline.path.parent.rglob("*")) if path not in before] == []
    assert not Path("/tmp/executed-by-a-chart").exists()


SECRET = "root:hunter22:0:0"
LINKS = {  # each is a link to a file or directory outside of the repository, in place of what may be there
    "layer file": "layers/10-base.yaml",
    "directory of layers": "layers",
    "defaults": "layers/_defaults.yaml",
    "overlay": "environments/local/10-base/conf.yaml",
    "directory of an environment": "environments/local",
    "environment": "environments/local/environment.yaml",
    "settings": "devtools.yaml",
    "lock": "charts/third_party/lock.yaml",
    "chart": "charts/platform/conf",
    "Chart.yaml": "charts/platform/conf/Chart.yaml",
    "values of a chart": "charts/platform/conf/values.yaml",
    "template": "charts/platform/conf/templates/x.yaml",
    "ignore file": "charts/platform/conf/.helmignore",
    "directory in a chart": "charts/platform/conf/files",
}


@pytest.mark.parametrize("place", LINKS)
def test_a_link_that_leads_out_of_the_repository_is_refused(offline: Repo, place: str) -> None:
    outside = offline.path.parent / f"outside-{offline.path.name}"
    link = offline.path / LINKS[place]
    if link.is_dir():
        shutil.move(link, outside)
    else:
        link.unlink(missing_ok=True)
        outside.mkdir()
        (outside / "shadow").write_text(SECRET)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / "shadow" if (outside / "shadow").exists() and "directory" not in place else outside)
    for verb in ("plan", "values", "layer"):
        printed = _ask(offline, verb)
        if verb != "values":
            assert printed.code in (ExitCode.CONFIG, ExitCode.ENVIRONMENT), printed
        assert SECRET not in printed.out + printed.err
    assert "points outside the repository" in "".join(_ask(offline, "plan").err.split("\n"))


def test_an_archive_that_a_link_leads_to_is_refused(offline: Repo) -> None:
    raw = _archive(CHART)
    outside = offline.path.parent / f"tool-{offline.path.name}.tgz"
    outside.write_bytes(raw)
    folder = offline.path / "charts/third_party/acme/tool"
    folder.mkdir(parents=True)
    (folder / "tool-1.0.0.tgz").symlink_to(outside)
    entry = {"publisher": "acme", "name": "tool", "version": "1.0.0", "license": "MIT"}
    entry |= {"repository": "https://charts.example.com", "sha256": hashlib.sha256(raw).hexdigest()}
    offline.write("charts/third_party/lock.yaml", json.dumps({"charts": [entry]}))
    offline.edit("layers/10-base.yaml", "platform/conf", "acme/tool")
    printed = _ask(offline, "plan")
    assert printed.code is ExitCode.CONFIG
    assert "points outside the repository" in printed.err


@pytest.mark.parametrize("place", [".devtools", ".devtools/runs"])
def test_nothing_is_written_through_a_link_that_leads_out(offline: Repo, place: str) -> None:
    outside = offline.path.parent / f"outside-{offline.path.name}"
    outside.mkdir()
    link = offline.path / place
    shutil.rmtree(offline.path / ".devtools", ignore_errors=True)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(EnvironmentFault, match="points outside the repository"):
        run_directory(offline.path, "up", 0.0)
    if place == ".devtools":
        assert _ask(offline, "specs").code is ExitCode.ENVIRONMENT
    assert list(outside.iterdir()) == []


def test_file_names_are_printed_without_escape_sequences(offline: Repo) -> None:
    name = "\x1b]0;owned\x07\x1b[31m\u202e-evil.yaml"
    offline.write(f"layers/{name}", "releases: []\n")
    for verb in READERS:
        printed = _ask(offline, verb)
        text = printed.out + printed.err
        assert not [letter for letter in ("\x1b", "\x07", "\u202e") if letter in text], verb
    assert r"layers/\x1b]0;owned\x07\x1b[31m\u202e-evil.yaml:1:1" in _ask(offline, "plan").err


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("explain", [False, True], ids=["", "explain"])
def test_values_reach_the_terminal_without_escape_sequences(offline: Repo, output: str, explain: bool) -> None:  # noqa: FBT001
    printed = "Grüße \x1b[31m\x9b31m\x85\x7f\u202egnp\u2066"
    offline.write("environments/local/10-base/conf.yaml", json.dumps({"say": printed}))

    def shown(app: App) -> ExitCode:
        return values.show(app, "conf", Options(output=output), explain=explain)

    done = call(shown, output, environ={**offline.environ, **NOWHERE}, cwd=offline.path)
    assert done.code is ExitCode.OK, done
    assert [letter for letter in done.out if not letter.isprintable() and letter != "\n"] == []
    assert "31m" in done.out
    if output == "json":
        assert "Grüße" in done.out
        assert done.document["values"]["say"] == printed
    elif not explain:
        assert yaml.safe_load(done.out)["say"] == printed
