"""Tasks: documented, lazy, and honest about bad arguments."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.tasks import namespace
from tests.kits.repository import SERVER

ROOT = Path(__file__).parent.parent.parent
DOCS = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
# `invoke bootstrap` is the default task of its collection: that is how it is called
TASKS = sorted(aliases[0] if aliases else name for name, aliases in namespace.task_names.items())


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_documented_with_examples(name: str) -> None:
    assert re.search(rf"^\| `{re.escape(name)}( NAME)?` \|", DOCS, re.MULTILINE), name
    task = namespace[name]
    assert f"invoke {name}" in (task.__doc__ or "")


@pytest.mark.parametrize("name", TASKS)
def test_every_flag_is_documented_and_explained(name: str) -> None:
    for argument in namespace[name].get_arguments():
        assert argument.help, argument.name
        flag = re.escape(max(argument.names, key=len))
        row = re.search(rf"^\|[^|]*`--{flag}`[^|]*\| (.*?) \|", DOCS, re.MULTILINE)
        assert row, argument.name
        assert name in row[1] or "all" in row[1], (name, argument.name)


def test_flags_are_explained_each_time_they_are_asked_for() -> None:
    """Whoever looked before: tests, in any order, and other programs that use the tasks."""
    for _ in range(2):
        assert not [name for name in TASKS for argument in namespace[name].get_arguments() if not argument.help]


def test_no_documented_task_or_flag_is_missing() -> None:
    documented = set(re.findall(r"^\| `([a-z.]+)(?: NAME)?` \| ", DOCS, re.MULTILINE))
    assert documented == set(TASKS)
    flags = {max(argument.names, key=len) for name in TASKS for argument in namespace[name].get_arguments()}
    named = re.findall(r"^\| (`--[^|]*) \|", DOCS, re.MULTILINE)
    assert set(re.findall(r"`--([a-z-]+)`", " ".join(named))) == flags


def test_every_environment_variable_of_ours_is_documented() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "devtools" / "app").glob("*.py"))
    for name in set(re.findall(r'"(DEVTOOLS_[A-Z]+)"', sources)) - {"DEVTOOLS_CONTEXT"}:
        assert f"`{name}`" in DOCS, name


HEAVY = ("kubernetes", "docker", "rich", "urllib3", "pydantic", "jsonpath_ng")


# What a run that finds nothing to do has no use for: each costs it milliseconds.
UNUSED = frozenset(
    (
        *("psutil", "pydantic", "tarfile", "ctypes", "jsonpath_ng", "rich", "kubernetes"),
        *(
            "devtools.charts.archive",
            "devtools.charts.lock",
            "devtools.charts.random_functions",
            "devtools.charts.standin",
        ),
        *("devtools.docker.engine", "devtools.locks.change_lock", "devtools.clusters.embedded.lifecycle"),
        *(
            "devtools.clusters.embedded.node.real_node",
            "devtools.clusters.embedded.simulation",
            "devtools.report.jsonl",
        ),
        *("devtools.readiness.observer", "devtools.smoke.runner", "devtools.engine.steps", "devtools.config.stack"),
        *("devtools.config.validate", "devtools.base.yaml_positions", "devtools.toolchain", "devtools.helm.commands"),
        *("devtools.clusters.embedded.kwokctl", "devtools.clusters.embedded.node.daemons"),
    )
)
UNCHANGED = (
    *(
        "commands.runs",
        "app.stack_cache",
        "app.orphans",
        "app.providers",
        "app.notices",
        "app.locks",
        "app.run_setup",
        "app.exit_codes",
    ),
    *("charts.resolve", "kube.client", "clusters.embedded.provider", "report.renderers", "report.files"),
    *(
        "report.terminal.plain",
        "engine.engine",
        "releases.facts",
        "locks.run_lock",
        "run_context.session",
        "run_context.slots",
    ),
    *("planning.layer_names", "config.values"),
)


def _imported(code: str) -> set[str]:
    """Modules, and packages by their first name, that a fresh interpreter has after running `code`."""
    script = f"{code}\nimport sys\nprint(' '.join({{*sys.modules, *(name.partition('.')[0] for name in sys.modules)}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_listing_the_tasks_imports_nothing_heavy() -> None:
    assert not _imported("import tasks") & set(HEAVY)


def test_loading_the_stack_imports_no_cluster_client() -> None:
    code = (
        "from pathlib import Path\n"
        "from devtools.app.environment import App\n"
        "from devtools.project import Project\n"
        "import sys\n"
        "app = App(environ={}, cwd=Path('.'), out=sys.stdout, err=sys.stderr)\n"
        "Project(app).stack()\n"
    )
    assert not _imported(code) & {"kubernetes", "docker", "rich", "urllib3"}


def test_looking_at_the_cluster_does_not_import_the_sdks_or_rich() -> None:
    code = (
        "import devtools.releases.facts, devtools.engine.engine, devtools.kube.client, devtools.report.terminal.plain"
    )
    assert not _imported(code) & {"kubernetes", "docker", "rich", "jsonpath_ng"}


def test_a_run_with_nothing_to_do_imports_only_what_it_needs() -> None:
    code = "import " + ", ".join(f"devtools.{name}" for name in UNCHANGED)
    assert _imported(code) & UNUSED == set()


CHANGES = {  # what they would do without --dry, they have no rehearsal for
    *(
        "bootstrap.down",
        "charts.dependencies",
        "charts.vendor",
        "cluster.create",
        "cluster.delete",
        "cluster.stop",
        "proto.push",
        "specs",
    ),
    *("gitops.rehearse", "gitops.test", "render"),
}


def _invoke(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of invoke's in a repository with our tasks and nothing else."""
    (directory / "tasks.py").write_text("from devtools.tasks import namespace\n")
    return SERVER.run(words, cwd=directory, env=os.environ, timeout=300)


def test_every_task_has_a_dry_run_or_changes_nothing() -> None:
    tasks = {name: namespace[name] for name in TASKS}
    rehearsed = {name for name, item in tasks.items() if "dry_run" in inspect.signature(item.body).parameters}
    reading = {name for name, item in tasks.items() if item.reads}
    assert not rehearsed & reading
    assert set(TASKS) - rehearsed - reading == CHANGES


@pytest.mark.parametrize(
    "words",
    [*([name, "--dry"] for name in sorted(CHANGES)), ["--dry", "specs"], ["-R", "specs"], ["drift", "--fix", "--dry"]],
)
def test_a_task_without_a_dry_run_refuses_dry(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "layers").mkdir()
    name = next(word for word in words if not word.startswith("-"))
    done = _invoke(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {name} has no dry run, so --dry is refused: nothing was done\n")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"tasks.py", "layers"}


@pytest.mark.parametrize(
    "words",
    [
        *("layer --help", "--help layer", "values --help", "plan --help", "plan --env --help", "plan 40 -h"),
        *("rollback web --help", "rollback --help web 3", "rollback web 3 -h", "--help rollback web"),
        *("values web --env dev --help", "layer 40 --help", "up layer 40 -h", "import.helmfile some/path --help"),
    ],
)
def test_help_is_shown_wherever_it_is_asked_for(tmp_path: Path, words: str) -> None:
    done = _invoke(tmp_path, *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    name = next(word for word in reversed(words.split()) if word in namespace.task_names)
    assert done.stdout.startswith(f"Usage: inv[oke] [--core-opts] {name} ")
    assert "Examples:" in done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--list", "layer 40 --help", ""])
def test_the_reader_of_invokes_own_output_may_leave(tmp_path: Path, words: str, unbuffered: str) -> None:
    (tmp_path / "tasks.py").write_text("from devtools.tasks import namespace\n")
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "invoke", *words.split()]
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    try:
        done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, env=environ, cwd=tmp_path, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("layr 40", "did you mean invoke layer?"),
        ("status", "did you mean invoke bootstrap.status or invoke cluster.status?"),
        ("cluster.delet", "did you mean invoke cluster.delete?"),
        ("delete", "did you mean invoke cluster.delete?"),
        ("xyzzy", "invoke --list"),
    ],
)
def test_an_unknown_task_is_answered_with_near_ones(tmp_path: Path, typed: str, hint: str) -> None:
    done = _invoke(tmp_path, *typed.split())
    assert done.returncode == 2
    assert done.stderr == f"error: unknown task '{typed.split(maxsplit=1)[0]}'\n  hint: {hint}\n"
