"""Parses the API server's refusals from Helm's error message; pure.

The wording is Helm's (`pkg/kube/client.go` and `pkg/action/validate.go` of Helm 4), around that of the API server
(`structured-merge-diff` for conflicts, `field.Error` for invalid fields).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from devtools.helm.failures import message
from devtools.model import ObjectRef

_APPLIED = re.compile(
    r"(?:server-side apply failed for object|conflict occurred while applying object) "
    r"(?P<namespace>[^/\s]*)/(?P<name>\S+) (?P<version>\S*), Kind=(?P<kind>\w+): (?P<said>.*?)"
    r"(?= && (?:server-side apply failed|conflict occurred)|\Z)",
    re.DOTALL,
)
_HELD = re.compile(
    r'conflicts? with "(?P<manager>[^"\n]+)"[^:\n]*?(?: using \S+?)?(?: at \S+?)?:'
    r"(?P<fields>(?: \.[^\n]*)|(?:\s*\n- [^\n]*)+)"
)
_FOREIGN = re.compile(
    r'(?P<kind>\w+) "(?P<name>[^"]+)" in namespace "(?P<namespace>[^"]*)" exists and cannot be imported into the '
    r"current release: invalid ownership metadata; (?P<said>.*)",
    re.DOTALL,
)
_OTHER = re.compile(r'"meta\.helm\.sh/release-(name|namespace)" must equal "[^"]*": current value is "([^"]*)"')
_IMMUTABLE = re.compile(
    r"immutab|may not change once set|cannot change|updates to [\w. ]+ are forbidden|updates to statefulset spec",
    re.IGNORECASE,
)
_INVALID = " is invalid: "
_FIELD = re.compile(r"(?:is invalid: \[?|, )(?P<field>[a-z][\w.\[\]\"-]*): (?:Forbidden|Invalid value)")
_VALUE = re.compile(r"Invalid value: ")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One object that Helm could not apply as declared.

    `immutable`: `fields` cannot be changed. `conflict`: `holder`, a field manager, owns them. `foreign`: the object
    exists and does not belong to this release, but to `holder`, another release, or to none (Helm does not report its
    API version). `replaced`: `holder`, a field manager, set `fields` instead of declared ones; both are invalid
    together.
    """

    why: Literal["immutable", "conflict", "foreign", "replaced"]
    ref: ObjectRef
    fields: tuple[str, ...] = ()
    holder: str = ""

    def __str__(self) -> str:
        """`Deployment/web: kubectl-edit owns .spec.replicas`."""
        named = ", ".join(self.fields)
        if self.why == "conflict":
            return f"{self.ref}: {self.holder} owns {named}"
        if self.why == "replaced":
            return f"{self.ref}: {self.holder} replaced declared items with {named}"
        if self.why == "immutable":
            return f"{self.ref}: {named or 'a field'} cannot be changed"
        return f"{self.ref} already exists, and " + (
            f"belongs to {self.holder}" if self.holder else "no release created it"
        )


def refusals(stderr: str) -> tuple[Refusal, ...]:
    """Return every refusal in the output of a helm upgrade; empty if it failed for other reasons."""
    text = _end_of(stderr)
    found: list[Refusal] = []
    for ref, words in _applied(text):
        held = [
            Refusal(why="conflict", ref=ref, fields=_fields(item["fields"]), holder=item["manager"])
            for item in _HELD.finditer(words)
        ]
        if not held and _IMMUTABLE.search(words):
            held = [Refusal(why="immutable", ref=ref, fields=tuple(f".{name}" for name in _FIELD.findall(words)))]
        found += held
    for match in _FOREIGN.finditer(text):
        other = dict(_OTHER.findall(match["said"]))
        namespace = other.get("namespace")  # it holds only what differs
        name = other.get("name")
        holder = f"release {name}" if name else "a release of the same name" if namespace else ""
        if namespace:
            holder += f" in namespace {namespace}"
        found.append(
            Refusal(why="foreign", ref=ObjectRef("", match["kind"], match["namespace"], match["name"]), holder=holder)
        )
    return tuple(found)


def invalid(stderr: str) -> tuple[ObjectRef, ...]:
    """Return the objects that were refused as invalid, except for those with immutable fields."""
    every = _applied(_end_of(stderr))
    return tuple(ref for ref, words in every if _INVALID in words and not _IMMUTABLE.search(words))


def immutable_fields(text: str) -> tuple[str, ...] | None:
    """Return the fields that the API server says cannot be changed, `.spec.selector`; None for other reasons."""
    words = without_values(text)
    if not _IMMUTABLE.search(words):
        return None
    return tuple(f".{name}" for name in _FIELD.findall(words))


def _end_of(stderr: str) -> str:
    """Return the error that helm ended with, without values; empty if it did not end with an error."""
    return without_values(message(stderr))


def _applied(text: str) -> Iterator[tuple[ObjectRef, str]]:
    """Yield each object that could not be applied, with the API server's message."""
    for match in _APPLIED.finditer(text):
        ref = ObjectRef(match["version"].removeprefix("/"), match["kind"], match["namespace"], match["name"])
        yield ref, match["said"]


def without_values(text: str) -> str:
    """Return the text without the values that the API server repeats, which may be pod templates with secrets."""
    parts, at = [], 0
    for match in _VALUE.finditer(text):
        if match.start() < at:
            continue
        parts.append(text[at : match.end()].removesuffix(": "))
        at = _end(text, match.end())
    return "".join([*parts, text[at:]])


def _end(text: str, start: int) -> int:
    """Return the end of the value that begins here: of the JSON value, otherwise the next colon."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except ValueError:
        end = text.find(": ", start)
    return end if end >= 0 else len(text)


def _fields(text: str) -> tuple[str, ...]:
    """Return the fields of a conflict: one on the same line, or several on lines of their own."""
    return tuple(line.strip().removeprefix("- ") for line in text.splitlines() if line.strip())
