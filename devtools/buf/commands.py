"""buf 1.75: its commands, and how to read its output.

Commands and exit codes: https://buf.build/docs/reference/cli/buf/. Exit code 100 means that the files have faults, one
JSON object per line: lint and breaking write them to stdout, the compiler to stderr. Every other failure is a
`Failure:` line on stderr, with exit code 1; if the registry answered, it starts with the Connect code of the answer
(https://connectrpc.com/docs/protocol/#error-codes).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from devtools.base.machine_json import read_json
from devtools.errors import Location, Problem
from devtools.process.runner import Command, Result

FINDINGS = 100  # the exit code for faults in the files
TOKEN = "BUF_TOKEN"  # noqa: S105 - the variable's name
# Files of a module besides its .proto files: https://buf.build/docs/cli/modules-workspaces/
EXTRA_FILES = ("buf.yaml", "buf.lock", "buf.md", "README.md", "LICENSE")

_SLOW = 120.0  # seconds; local work takes a tenth of a second on a machine that is not overloaded
_PUSH = 60.0  # seconds for the registry
_FAILURE = "Failure: "
_COMMIT = re.compile(r"[0-9a-f]{32}")
_ONE_TOKEN = re.compile(r"[^\s,@]+")
_TOKENS = re.compile(r"[^\s,@]+@[^\s,@]+(,[^\s,@]+@[^\s,@]+)*")


class Outcome(StrEnum):
    """How a buf command ended."""

    OK = "ok"
    FINDINGS = "findings"  # the files do not compile, or break a rule
    REJECTED = "rejected"  # the registry does not know the token, or it has expired
    DENIED = "denied"  # the registry knows the token, and denies the request
    MISSING = "missing"  # the registry has no such module
    UNREACHABLE = "unreachable"  # no answer, or a temporary refusal
    FAILED = "failed"  # anything else, with buf's own message


# In this order: the first that occurs in buf's output counts.
_SIGNS: tuple[tuple[Outcome, re.Pattern[str]], ...] = (
    (
        Outcome.REJECTED,
        re.compile(
            r"environment variable is (set, but is )?not valid"
            r"|you are not authenticated|API token for \S+ is invalid|\bunauthenticated\b|invalid token"
        ),
    ),
    (Outcome.DENIED, re.compile(r"\bpermission_denied\b")),
    (Outcome.MISSING, re.compile(r"\bnot_found\b|a (module|repository) named \S+ does not exist")),
    (
        Outcome.UNREACHABLE,
        re.compile(
            r"at that remote is unavailable|\b(unavailable|deadline_exceeded|resource_exhausted)\b"
            r"|context deadline exceeded|timed out|no such host|connection (refused|reset)|network is unreachable"
            r"|x509:|tls:|proxyconnect"
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buf:
    """One buf program and one module: `directory` is relative to `root`, so the paths of findings are, too."""

    program: Path
    root: Path
    directory: str = "proto"

    def build(self) -> Command:
        """Compile the module and discard the result. Needs no network: the module has no dependencies."""
        return self._command("build", self.directory, "--output", "/dev/null", "--error-format", "json")

    def lint(self) -> Command:
        """Check the module against the lint rules of its buf.yaml."""
        return self._command("lint", self.directory, "--error-format", "json")

    def breaking(self, against: Path) -> Command:
        """Compare with an older version of the module, a tar archive of the repository.

        Imports are excluded: they are Google's files, which buf bundles, and not part of the module.
        """
        old = f"{against}#format=tar,subdir={self.directory}"
        return self._command(
            "breaking", self.directory, "--against", old, "--exclude-imports", "--error-format", "json"
        )

    def push(self, token: str, labels: Sequence[str] = ()) -> Command:
        """Publish the module; the token is only in the child's environment.

        Without `labels` the commit gets the registry's default label, otherwise only these:
        https://buf.build/docs/reference/cli/buf/push/.
        """
        words = [word for name in labels for word in ("--label", name)]
        return self._command(
            *("push", self.directory, *words, "--error-format", "json", "--timeout", f"{_PUSH:g}s"),
            env={TOKEN: token},
            timeout=_PUSH + 10,
            secrets=pieces(token),
        )

    def _command(
        self, *words: str, env: Mapping[str, str] | None = None, timeout: float = _SLOW, secrets: tuple[str, ...] = ()
    ) -> Command:
        """Return a command without colours, whatever the user's environment says."""
        return Command(
            argv=(str(self.program), *words, "--log-format", "text"),
            env=env or {},
            cwd=self.root,
            timeout=timeout,
            secrets=secrets,
        )


def classify(result: Result) -> Outcome:
    """Return the outcome of a command."""
    if result.ok:
        return Outcome.OK
    if result.returncode == FINDINGS:
        return Outcome.FINDINGS
    if result.timed_out:
        return Outcome.UNREACHABLE
    text = failure(result)
    return next((outcome for outcome, sign in _SIGNS if sign.search(text)), Outcome.FAILED)


def failure(result: Result) -> str:
    """Return buf's own message; without one the last line of its output, empty if it printed nothing."""
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    for line in lines:
        if line.startswith(_FAILURE):
            return line.removeprefix(_FAILURE)
    return lines[-1] if lines else ""


def _number(value: object) -> int:
    """Return a line or column, from 1; buf omits unknown ones."""
    return value if isinstance(value, int) and value > 0 else 1


def findings(result: Result, root: Path) -> tuple[Problem, ...]:
    """Return the faults in a command's output, in its order; log lines between them are skipped.

    Their paths are relative to `root`; a fault in a file that is gone is shown at the module's buf.yaml. The hint is
    COMPILE, or the name of a rule.
    """
    found: list[Problem] = []
    for text in (*result.stdout.splitlines(), *result.stderr.splitlines()):
        if not text.startswith("{"):
            continue
        try:
            item = read_json(text)
        except ValueError:
            continue
        file = root / str(item.get("path") or "proto/buf.yaml")
        line, column = (_number(item.get(key)) for key in ("start_line", "start_column"))
        where = Location(file=file, line=line, column=column)
        found.append(Problem(where=where, message=str(item.get("message", "")), hint=str(item.get("type", ""))))
    return tuple(found)


def commit(result: Result, module: str) -> str:
    """Return the commit that a push created or found: `MODULE:COMMIT` on stdout; empty without one."""
    for line in result.stdout.splitlines():
        name, _, made = line.strip().rpartition(":")  # the last colon: a registry may have a port
        if name == module and _COMMIT.fullmatch(made):
            return made
    return ""


def is_token(value: str) -> bool:
    """Return whether buf accepts `value` as a token, or as TOKEN@REMOTE, several separated by commas.

    Other values must not reach buf: it repeats parts of them in its message (`invalid token: …`).
    """
    return value.isprintable() and bool(_ONE_TOKEN.fullmatch(value) or _TOKENS.fullmatch(value))


def pieces(token: str) -> tuple[str, ...]:
    """Return the secrets to hide: the whole value, and each token in it."""
    return (token, *(part.partition("@")[0] for part in token.split(","))) if "@" in token else (token,)


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """Return `sha256:…` of a module's files, pairs of path (relative, with slashes) and content, in any order."""
    whole = hashlib.sha256()
    for path, content in sorted(files):
        for part in (path.encode(), content):
            whole.update(len(part).to_bytes(8, "big") + part)  # the length distinguishes "a","bc" from "ab","c"
    return f"sha256:{whole.hexdigest()}"
