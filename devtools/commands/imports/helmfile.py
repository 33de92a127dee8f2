"""`invoke import.helmfile`: writes layers, overlays and lock entries from a helmfile, and reports unsupported keys."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devtools.app.environment import App
from devtools.base.atomic_write import private_directory
from devtools.base.open_file import read_source
from devtools.commands.imports.charts import Finder
from devtools.commands.imports.program import HelmfileProgram, states_with_values
from devtools.commands.imports.writing import finish, layer_names
from devtools.config.settings import find_root
from devtools.errors import ConfigError, EnvironmentFault, ExitCode, Location, Problem, raise_problems
from devtools.imports.helmfile import Helmfile, convert
from devtools.imports.model import Chart, Found
from devtools.imports.positions import Places
from devtools.imports.releases import chart_key
from devtools.imports.states import State, environments_of, read_list, read_states, releases_of

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


def import_helmfile(app: App, typed: Arguments) -> ExitCode:
    """Write the helmfile's declarations; nothing is written if there is a problem."""
    file, out = _file(app, typed.path), out_of(app, typed.out)
    base = file if file.is_dir() else file.parent
    texts = _texts(base)
    places = Places(texts, app.cwd if base.is_relative_to(app.cwd) else base)
    _refuse(places, typed)
    app.say(f"helmfile executes the templates of {places.shown(file)}, with exec and readFile")
    app.toolchain.ensure(("helm", "helmfile"), progress=app.say)
    with private_directory("import") as home:
        program = HelmfileProgram(app=app, file=file, home=home, has_hooks=places.has_hooks())
        helmfile = _read(program, out, typed, places, texts)
    imported = convert(helmfile, layer_names(out))
    flags = {"dry_run": typed.dry_run, "overwrite": typed.overwrite}
    finish(app, out, imported, list(helmfile.found), {"kind": "import-helmfile"}, typed.output, **flags)
    return ExitCode.OK


def out_of(app: App, typed: str) -> Path:
    """Return the root of the target repository: as typed, else this repository's, else the current directory."""
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
    raise_problems(problems)


def _location(shown: str) -> Location:
    file, _, line = shown.rpartition(":")
    return Location(file=Path(file), line=int(line))


def _read(program: HelmfileProgram, out: Path, typed: Arguments, places: Places, texts: Mapping[Path, str]) -> Helmfile:
    finder = Finder(app=program.app, out=out, home=program.home)
    states: dict[str, Sequence[State]] = {}
    found: dict[str, Sequence[Found]] = {}
    charts: dict[tuple[str, str, str], Chart] = {}
    left_out: dict[tuple[str, str, str], str] = {}
    for name in typed.environments or _environments(program, texts):
        program.app.say(f"reading environment {name}")
        states[name] = states_with_values(program, name)
        found[name] = releases_of(states[name], read_list(program.listed(name)), typed.namespace)
        by_source = {state.source: state for state in states[name]}
        for item in found[name]:
            key = chart_key(item)
            if key in charts or key in left_out:
                continue
            try:
                charts[key] = finder.find(by_source[item.source], key[1], key[2], name)
            except ConfigError as error:
                left_out[key] = error.message
    charts = {key: replace(chart, name=finder.reference(chart)) for key, chart in charts.items()}
    return Helmfile(
        file=program.file,
        states=states,
        found=found,
        charts=charts,
        places=places,
        texts=_set_files(found.values()),
        left_out=left_out,
    )


def _environments(program: HelmfileProgram, texts: Mapping[Path, str]) -> Sequence[str]:
    """Return the environments that the helmfile declares; `default` if it declares none."""
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
    texts: dict[str, str] = {}
    for item in (item for items in found for item in items):
        for entry in item.keys.get("set") or ():
            name = str(entry.get("file") or "")
            path = item.source.parent / name
            if name and path.is_file():
                texts[name] = read_source(path).decode("utf-8", errors="replace")
    return texts
