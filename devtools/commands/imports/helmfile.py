"""`invoke import.helmfile`: writes layers, overlays and lock entries from a helmfile, and reports unsupported keys."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.base.atomic_write import private_directory
from devtools.base.open_file import read_source
from devtools.errors import ConfigError, ExitCode, Location, Problem, config_error

if TYPE_CHECKING:
    from devtools.commands.imports.program import HelmfileProgram
    from devtools.imports.model import Chart, Found, Imported
    from devtools.imports.positions import Places
    from devtools.imports.states import State

VERSION = 1  # of the JSON document
_NAMES = ("helmfile.yaml", "helmfile.yaml.gotmpl", "helmfile.d")
_MOST = 2000  # maximum files searched for places
_LARGEST = 1024 * 1024  # maximum bytes of one of them
_ENVIRONMENTS = re.compile(r"^environments:\s*\n((?:[ \t]+.*\n|\s*\n|#.*\n|\{\{.*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    path: str
    environments: tuple[str, ...] = ()
    out: str = ""
    namespace: str = "default"
    dry_run: bool = False
    overwrite: bool = False
    run_hooks: bool = False
    output: str = "text"


@dataclass(kw_only=True)
class _Read:
    """The output of helmfile, and the converted charts."""

    states: dict[str, tuple[State, ...]] = field(default_factory=dict)
    found: dict[str, tuple[Found, ...]] = field(default_factory=dict)
    charts: dict[tuple[str, str, str], Chart] = field(default_factory=dict)
    left_out: dict[tuple[str, str, str], str] = field(default_factory=dict)


def import_helmfile(app: App, typed: Arguments) -> ExitCode:
    """Write the helmfile's declarations; nothing is written if there is a problem."""
    from devtools.commands.imports.program import HelmfileProgram
    from devtools.commands.imports.report import show
    from devtools.commands.imports.writing import changes_of, repository_files, write
    from devtools.imports.helmfile import Helmfile, convert
    from devtools.imports.positions import Places

    file, out = _file(app, typed.path), out_of(app, typed.out)
    base = file if file.is_dir() else file.parent
    texts = _texts(base)
    places = Places(texts, app.cwd if base.is_relative_to(app.cwd) else base)
    _refuse(places, typed)
    app.say(f"helmfile executes the templates of {places.shown(file)}, with exec and readFile")
    app.toolchain.ensure(("helm", "helmfile"), progress=app.say)
    with private_directory("import") as home:
        program = HelmfileProgram(app=app, file=file, home=home, has_hooks=places.has_hooks())
        read = _read(program, out, typed, texts)
    helmfile = Helmfile(
        file=file,
        states=read.states,
        found=read.found,
        charts=read.charts,
        places=places,
        texts=_set_files(read.found.values()),
        left_out=read.left_out,
    )
    directory = out / "layers"
    there = sorted(path.name for path in directory.glob("*.yaml")) if directory.is_dir() else []
    imported = convert(helmfile, there)
    files = {**imported.files, **repository_files(out, next(iter(read.found)))}
    changes = changes_of(out, files, imported.lock, overwrite=typed.overwrite)
    if not typed.dry_run:
        write(out, changes)
    show(app, _document(out, imported, changes, tuple(read.found), typed), typed.output)
    return ExitCode.OK


def out_of(app: App, typed: str) -> Path:
    """Return the root of the target repository: as typed, else this repository's, else the current directory."""
    from devtools.config.settings import find_root

    if typed:
        return (app.cwd / typed).resolve()
    try:
        return find_root(app.cwd)
    except ConfigError:
        return app.cwd.resolve()


def _file(app: App, typed: str) -> Path:
    path = (app.cwd / typed).resolve()
    if path.is_file():
        return path
    found = [path / name for name in _NAMES if (path / name).exists()]
    if found:
        return found[0]
    if path.is_dir() and path.name == "helmfile.d":
        return path
    names = [name for name in _NAMES if (path.parent / name).exists()]
    near = Path(typed).parent / names[0] if names else "path/to/helmfile.yaml"
    message = f"{typed} is not a helmfile" if path.exists() else f"{typed} does not exist"
    raise ConfigError(message, hint=f"invoke import.helmfile {near}")


def _texts(base: Path) -> dict[Path, str]:
    """Return the files that may be state files, values or templates; charts are skipped."""
    texts: dict[Path, str] = {}
    near = [*sorted(base.glob("*")), *sorted(base.rglob("*"))]  # the helmfile itself is among the first
    for path in dict.fromkeys(near):
        if len(texts) == _MOST:
            break
        parents = path.relative_to(base).parents
        if any((base / parent / "Chart.yaml").exists() or parent.name.startswith(".") for parent in parents):
            continue
        if path.suffix in {".yaml", ".yml", ".gotmpl"} and path.is_file() and path.stat().st_size <= _LARGEST:
            with contextlib.suppress(OSError):  # a link to another directory
                texts[path] = read_source(path).decode("utf-8", errors="replace")
    return texts


def _refuse(places: Places, typed: Arguments) -> None:
    """Raise ConfigError if a template would put a secret into the values, or if hooks would run without consent."""
    hint = "write the reference itself (ref+…): the import leaves it out and reports it"
    problems = [
        Problem(where=_location(where), message=f"{function} would write a secret into the overlays", hint=hint)
        for where, function in places.secret_functions()
    ]
    if not typed.run_hooks:
        hint = "allow it with --run-hooks, or remove the hook"
        problems += [
            Problem(where=_location(where), message=f"helmfile runs hooks of {event} while it reads", hint=hint)
            for where, event in places.reading_hooks()
        ]
    if problems:
        raise config_error(problems)


def _location(shown: str) -> Location:
    file, _, line = shown.rpartition(":")
    return Location(file=Path(file), line=int(line))


def _read(program: HelmfileProgram, out: Path, typed: Arguments, texts: Mapping[Path, str]) -> _Read:
    from devtools.commands.imports.charts import Finder
    from devtools.commands.imports.value_files import states_with_values
    from devtools.imports.releases import chart_key
    from devtools.imports.states import read_list, releases_of

    finder, read = Finder(app=program.app, out=out, home=program.home), _Read()
    for name in typed.environments or _environments(program, texts):
        program.app.say(f"reading environment {name}")
        states = read.states[name] = states_with_values(program, name)
        listed = read_list(program.listed(name))
        found = read.found[name] = releases_of(states, listed, typed.namespace)
        by_source = {state.source: state for state in states}
        for item in found:
            key = chart_key(item)
            if key in read.charts or key in read.left_out:
                continue
            try:
                read.charts[key] = finder.find(by_source[item.source], key[1], key[2], name)
            except ConfigError as error:
                read.left_out[key] = error.message
    read.charts = {key: replace(chart, name=finder.reference(chart)) for key, chart in read.charts.items()}
    return read


def _environments(program: HelmfileProgram, texts: Mapping[Path, str]) -> Sequence[str]:
    """Return the environments that the helmfile declares; `default` if it declares none."""
    from devtools.errors import EnvironmentFault
    from devtools.imports.states import environments_of, read_states

    try:
        names = environments_of(read_states(program.build("default")))
    except EnvironmentFault:
        names = tuple(dict.fromkeys(name for text in texts.values() for name in _declared(text)))
        if not names or names == ("default",):
            raise
    return names or ("default",)


def _declared(text: str) -> Iterable[str]:
    """Yield the environments in a file's text, for a helmfile that cannot be read without an environment."""
    for block in _ENVIRONMENTS.findall(text):
        lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith(("#", "{{"))]
        indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
        yield from (line.strip().split(":")[0] for line in lines if len(line) - len(line.lstrip()) == indent)


def _set_files(found: Iterable[Iterable[Found]]) -> dict[str, str]:
    """Return the contents of the files that `set:` names."""
    texts: dict[str, str] = {}
    for item in (item for items in found for item in items):
        for entry in item.keys.get("set") or ():
            name = str(entry.get("file") or "")
            path = item.source.parent / name
            if name and path.is_file():
                texts[name] = read_source(path).decode("utf-8", errors="replace")
    return texts


def _document(
    out: Path, imported: Imported, changes: Mapping[PurePosixPath, bytes], names: Sequence[str], typed: Arguments
) -> dict[str, Any]:
    rows = [{"carried": row.carried, "what": row.what, "where": row.where, "note": row.note} for row in imported.rows]
    charts = [{key: entry[key] for key in ("publisher", "name", "version")} for entry in imported.lock]
    return {
        "version": VERSION,
        "kind": "import-helmfile",
        "directory": str(out),
        "environments": list(names),
        "dry_run": typed.dry_run,
        "written": sorted(map(str, changes)),
        "unchanged": len(imported.files) - len(set(changes) & set(imported.files)),
        "charts": charts,
        "rows": rows,
    }
