"""`invoke gitops.test`: compares the generated Applications with golden files, one for each ApplicationSet."""

from __future__ import annotations

from pathlib import Path

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import json_text
from devtools.base.open_file import read_source
from devtools.base.words import plural
from devtools.commands.gitops.preview import Arguments, generated, place_of
from devtools.errors import ConfigError, ExitCode
from devtools.gitops.preview.compare import differences, golden_name
from devtools.gitops.preview.compare import golden as golden_text
from devtools.report.text import visible

VERSION = 1
_SUFFIX = "-golden"


def compare(app: App, typed: Arguments, golden: str, *, update: bool) -> ExitCode:
    """Compare with the golden files, or write them; FAILED if they differ, or if a set cannot be generated."""
    directory, root = place_of(app, typed.directory)
    place = (app.cwd / golden).resolve() if golden else directory.with_name(directory.name + _SUFFIX)
    groups = generated(app, directory, root, typed).groups
    made = {golden_name(group): golden_text(group) for group in groups}
    known = {path.name: read_source(path).decode("utf-8", "replace") for path in sorted(place.glob("*.yaml"))}
    if typed.sets:
        known = {name: text for name, text in known.items() if name in made}
    errors = [f"{group.name}: {problem.message}" for group in groups for problem in group.errors]
    if update and not errors:
        changed = _write(place, known, made)
        return _done(app, typed, [], [], f"wrote {plural(changed, 'golden file')} in {place}")
    lines = list(differences(known, made))
    if not known and not update:
        raise ConfigError(f"{place} has no golden files", hint="write them: invoke gitops.test --update")
    text = f"{plural(len(made), 'set')}: the Applications are those of the golden files in {place}"
    return _done(app, typed, lines, errors, text)


def _write(place: Path, known: dict[str, str], made: dict[str, str]) -> int:
    """Write different golden files and remove those of deleted sets; return the number of changed files."""
    place.mkdir(parents=True, exist_ok=True)
    changed = [name for name, text in made.items() if known.get(name) != text]
    for name in changed:
        write_whole(place / name, made[name])
    gone = [name for name in known if name not in made]
    for name in gone:
        (place / name).unlink()
    return len(changed) + len(gone)


def _done(app: App, typed: Arguments, lines: list[str], errors: list[str], text: str) -> ExitCode:
    passed = not lines and not errors
    if typed.output == "json":
        document = {"version": VERSION, "kind": "gitops-test", "passed": passed, "errors": errors, "diff": lines}
        app.out.write(json_text(document) + "\n")
    else:
        app.out.writelines(f"{line}\n" for line in ([text] if passed else map(visible, [*errors, *lines])))
    if lines:
        app.say("if this is as intended: invoke gitops.test --update")
    return ExitCode.OK if passed else ExitCode.FAILED
