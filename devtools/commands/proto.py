"""`invoke proto.*`: builds, checks and publishes the protobuf module that clusters read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import own_directory, private_directory, write_whole
from devtools.base.machine_json import json_text, read_json
from devtools.base.open_file import read_source
from devtools.base.yaml_positions import parse
from devtools.buf import commands
from devtools.buf.commands import Buf, Outcome
from devtools.buf.git import Git
from devtools.buf.token import find_token
from devtools.config.settings import find_root
from devtools.errors import (
    ConfigError,
    DevtoolsError,
    EnvironmentFault,
    ExitCode,
    Interrupted,
    Location,
    Problem,
    TimedOut,
)
from devtools.process.runner import Command, Result

DIRECTORY = "proto"
STATE = Path(".devtools", "proto.json")
VERSION = 1  # of the JSON document, and of the state file
_MODULE = re.compile(r"[^/\s]+/[^/\s]+/[^/\s]+")  # remote/owner/module
_WORKSPACE = ("buf.work.yaml", "buf.yaml")  # at the top: lists modules to import from
_MODULES = (":(glob)**/*.proto", ":(glob)**/buf.yaml")
DEFAULT_REFS = ("origin/main", "main")  # clusters use the version of this branch


class ProtoFault(ConfigError):
    """The module's files do not compile, or break a rule; the problems have the places."""

    exit_code = ExitCode.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A protobuf module: the repository's root, the directory in it, and its name in the registry."""

    root: Path
    directory: Path
    name: str  # remote/owner/module

    @property
    def remote(self) -> str:
        """The registry's host."""
        return self.name.partition("/")[0]


def build(app: App, output: str = "text") -> ExitCode:
    """Compile the module. ProtoFault if it does not compile."""
    module = module_of(find_root(app.cwd))
    _check(app, module, _buf(app, module).build(), "does not compile")
    return _done(app, output, module, "build", "passed", f"{module.name} compiles")


def lint(app: App, output: str = "text") -> ExitCode:
    """Check the module against its lint rules. ProtoFault if it breaks one."""
    module = module_of(find_root(app.cwd))
    _check(app, module, _buf(app, module).lint(), "breaks lint rules")
    return _done(app, output, module, "lint", "passed", f"{module.name} keeps the lint rules of {DIRECTORY}/buf.yaml")


def breaking(app: App, against: str = "", output: str = "text") -> ExitCode:
    """Compare the module with the one at a git ref; empty: origin/main, else main. ProtoFault for breaking changes.

    A ref without the module cannot be broken; the result says so.
    """
    module = module_of(find_root(app.cwd))
    git = Git(program=app.git(": an older version of the API cannot be read"), directory=module.root)
    ref, commit = _resolve(app, git.commit_of, against)
    there = _must(app, git.listing(commit, f"{DIRECTORY}/buf.yaml", *_WORKSPACE), f"cannot read {ref}").splitlines()
    if f"{DIRECTORY}/buf.yaml" not in there:
        text = f"{ref} has no {DIRECTORY}/buf.yaml: there is nothing to break yet"
        return _done(app, output, module, "breaking", "nothing to compare", text)
    with private_directory("proto") as scratch:
        archive = scratch / "against.tar"
        workspace = [name for name in _WORKSPACE if name in there]
        paths = [DIRECTORY, *workspace, *(_MODULES if workspace else ())]
        _must(app, git.archive(commit, paths, archive), f"cannot read {DIRECTORY} of {ref}")
        _check(app, module, _buf(app, module).breaking(archive), f"would break who uses {ref}")
    return _done(app, output, module, "breaking", "passed", f"{module.name} has no breaking changes since {ref}")


def push(
    app: App, *, publish: bool = True, force: bool = False, labels: Sequence[str] = (), output: str = "text"
) -> ExitCode:
    """Build the module and publish it, unless its files are those of the last push (`force` publishes anyway).

    The commit gets `labels`, else the registry's default label; a push with other labels is another push. Without
    `publish` it is only built. Raises ConfigError if there is no token, before anything else, or if the registry
    rejects it; EnvironmentFault if the registry cannot be reached; ProtoFault if the module does not compile.
    """
    token = find_token(app.environ, find_root(app.cwd)) if publish else ""
    app.redactor.add([token])
    module = module_of(find_root(app.cwd))
    before = module_digest(module)
    tool = _buf(app, module)
    app.say(f"building {module.name}")
    _check(app, module, tool.build(), "does not compile")
    if not publish:
        text = f"{module.name} compiles; not pushed, as asked: clusters will see the last published module"
        return _done(app, output, module, "push", "built", text, digest=before)
    last = last_push(module)
    if not force and (last.get("digest"), last.get("labels")) == (before, _joined(labels)):
        text = f"{module.name} is as it was last pushed{_named(last.get('commit', ''))}: not pushed again"
        return _done(app, output, module, "push", "unchanged", text, digest=before, commit=last.get("commit", ""))
    app.say(f"pushing {module.name}")
    result = _ran(app, tool.push(token, labels))
    if (outcome := commands.classify(result)) is not Outcome.OK:
        raise _fault(module, outcome, result)
    commit = commands.commit(result, module.name)
    if module_digest(module) == before:  # else a file changed meanwhile: the pushed version is unknown
        _remember(module, before, commit, _joined(labels))
    text = f"{module.name} is pushed{_named(commit)}"
    return _done(app, output, module, "push", "pushed", text, digest=before, commit=commit)


def module_of(root: Path) -> Module:
    """Return the module of the repository at `root`. ConfigError if there is none, or if it has no name."""
    path = root / DIRECTORY / "buf.yaml"
    try:
        document = parse(read_source(path), path)
    except OSError as error:
        hint = "write proto/buf.yaml, with the name of the module: name: buf.build/OWNER/MODULE"
        raise ConfigError(f"no protobuf module here: {path}: {error.strerror}", hint=hint) from error
    if document.problems:
        raise ConfigError("buf.yaml cannot be read", problems=document.problems)
    name = _name(document.data)
    if not _MODULE.fullmatch(name):
        problem = Problem(where=Location(file=path), message="the module has no name REMOTE/OWNER/MODULE")
        raise ConfigError("the module cannot be published", hint="give modules[0].name", problems=(problem,))
    return Module(root=root, directory=root / DIRECTORY, name=name)


def module_digest(module: Module) -> str:
    """Return the digest of everything that a push publishes."""
    return commands.digest(
        (path.relative_to(module.directory).as_posix(), read_source(path)) for path in _files(module)
    )


def last_push(module: Module) -> dict[str, str]:
    """Return `digest`, `commit` and `labels` of the last push from this checkout; empty if none is known."""
    try:
        entry = read_json(read_source(module.root / STATE))["pushed"][module.name]
        return {"labels": str(entry.get("labels", "")), **{key: str(entry[key]) for key in ("digest", "commit")}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _files(module: Module) -> Iterator[Path]:
    yield from (path for path in module.directory.rglob("*.proto") if path.is_file())
    yield from (path for name in commands.EXTRA_FILES if (path := module.directory / name).is_file())


def _name(data: Any) -> str:
    """Return the module's name in a buf.yaml of version 2 or 1."""
    if not isinstance(data, dict):
        return ""
    modules = data.get("modules")
    first = modules[0] if isinstance(modules, list) and modules and isinstance(modules[0], dict) else {}
    return str(first.get("name") or data.get("name") or "")


def _buf(app: App, module: Module) -> Buf:
    return Buf(program=app.toolchain.path("buf"), root=module.root, directory=DIRECTORY)


def _resolve(app: App, commit_of: Any, against: str) -> tuple[str, str]:
    refs = (against,) if against else DEFAULT_REFS
    for ref in refs:
        found = _ran(app, commit_of(ref))
        if found.ok:
            return ref, found.stdout.strip()
    hint = "fetch the ref, or name another one: --against REF"
    raise ConfigError(f"git has no ref {' or '.join(refs)} here", hint=hint)


def _ran(app: App, command: Command) -> Result:
    """Return the result of a command that ended or timed out."""
    result = app.runner.run(command)
    if result.cancelled:
        raise Interrupted(app.cancel.reason or "interrupted")
    return result


def _must(app: App, command: Command, what: str) -> str:
    """Return the output of a command that must succeed."""
    result = _ran(app, command)
    if not result.ok:
        raise EnvironmentFault(f"{what}: {result.stderr.strip() or 'no reason given'}")
    return result.stdout


def _check(app: App, module: Module, command: Command, what: str) -> None:
    """Run a command that only reads files; ProtoFault with every finding."""
    result = _ran(app, command)
    if result.timed_out:
        raise TimedOut(f"buf {command.argv[1]} did not end within {command.timeout:g} s")
    outcome = commands.classify(result)
    if outcome is Outcome.FINDINGS:
        raise ProtoFault(f"{module.name} {what}", problems=commands.findings(result, module.root))
    if outcome is not Outcome.OK:
        raise ConfigError(
            f"buf {command.argv[1]}: {commands.failure(result)}", hint="check proto/buf.yaml and proto/buf.lock"
        )


def _fault(module: Module, outcome: Outcome, result: Result) -> DevtoolsError:
    """Return the error for a failed push; its exit code distinguishes the causes."""
    message = commands.failure(result) or f"exit code {result.returncode}"
    if outcome is Outcome.FINDINGS:
        return ProtoFault(f"{module.name} does not compile", problems=commands.findings(result, module.root))
    if outcome is Outcome.REJECTED:
        return ConfigError(
            f"{module.remote} rejected the token in {commands.TOKEN}: it is wrong, or has expired",
            hint=f"make a new one at https://{module.remote}/settings/user and put it into .env",
        )
    if outcome is Outcome.DENIED:
        return ConfigError(
            f"{module.remote} refused to let this token push {module.name}: {message}",
            hint="ask an owner of the module for write access; a proxy can also cause this answer",
        )
    if outcome is Outcome.MISSING:
        return ConfigError(
            f"{module.remote} has no module {module.name}: {message}",
            hint=f"its owner can create it: buf registry module create {module.name}",
        )
    if outcome is Outcome.UNREACHABLE:
        return EnvironmentFault(
            f"{module.remote} cannot be reached, so {module.name} was not pushed: "
            f"{'no answer in time' if result.timed_out else message}",
            hint="check the network and HTTPS_PROXY; to build without publishing: invoke proto.push --no-push",
        )
    return EnvironmentFault(f"{module.name} was not pushed: {message}", hint="run it again")


def _joined(labels: Sequence[str]) -> str:
    """Return labels in the order of the state file, whatever the typed order."""
    return ",".join(sorted(set(labels)))


def _remember(module: Module, digest: str, commit: str, labels: str) -> None:
    path = module.root / STATE
    try:
        pushed = dict(read_json(read_source(path))["pushed"])
    except (OSError, ValueError, KeyError, TypeError):
        pushed = {}
    pushed[module.name] = {"digest": digest, "commit": commit, "labels": labels}
    own_directory(module.root)
    write_whole(path, json.dumps({"version": VERSION, "pushed": pushed}, indent=2), mode=0o600)


def _named(commit: str) -> str:
    return f" (commit {commit})" if commit else ""


def _done(app: App, output: str, module: Module, verb: str, result: str, text: str, **more: str) -> ExitCode:
    """Print the result: a sentence, or the documented `proto` document."""
    if output == "json":
        document = {"version": VERSION, "kind": "proto", "verb": verb, "module": module.name, "result": result, **more}
        app.out.write(json_text(document) + "\n")
    else:
        app.out.write(text + "\n")
    return ExitCode.OK
