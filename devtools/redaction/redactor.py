"""Hides known secrets in every form in which they may be printed, and text that looks like a secret."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

from devtools.redaction.keys import HIDDEN, is_common, is_ordinary
from devtools.redaction.origin import marked_in
from devtools.redaction.text import replaced, spans, without_secrets
from devtools.redaction.values import hidden, secret_values

SHORTEST = 6  # characters; hiding shorter ones would also hide ordinary words
SHORTEST_NAMED = 4  # the same for a secret that is named for one command
SHORTEST_LINE = 8  # the same for one line of a secret of several lines, which may well be `true`
_HEAD = SHORTEST  # leading characters by which the forms of secrets are looked up
_CODED = 8  # characters of the shortest piece of base64 that is looked for
_SLICE = 32  # base64 may be broken into lines of 64 or 76 characters, each of which holds one slice
_WRAPS = (64, 76)
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]")


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` with every secret of `SHORTEST_NAMED` or more characters replaced by `HIDDEN`."""
    return without(text, needles(secrets))


def needles(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts to hide, the longest first, because a secret may be part of another one.

    Output is redacted by line, so each line of a secret of several lines (a key in PEM form) counts as a secret, too.
    """
    found: set[str] = set()
    for secret in secrets:
        lines = [line.strip() for line in secret.splitlines() if line.strip()]
        shortest = SHORTEST_LINE if len(lines) > 1 else SHORTEST_NAMED
        found.update(line for line in lines if len(line) >= shortest)
        if len(value := secret.strip()) >= SHORTEST_NAMED:
            found.add(value)
        if len(value) >= SHORTEST:
            found.update(_encoded(value.encode(errors="surrogateescape")))
    return tuple(sorted(found, key=len, reverse=True))


def without(text: str, found: Iterable[str]) -> str:
    """Return `text` without these."""
    for needle in found:
        text = text.replace(needle, HIDDEN)
    return text


class Redactor:
    """The known secrets of one invocation; safe to use from many threads."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """`values` are secret from the start."""
        self._lock = Lock()
        self._values: dict[str, None] = {}
        self._forms: dict[str, tuple[tuple[str, bool], ...]] = {}  # by their first characters; and whether base64
        self._spared: frozenset[str] = frozenset()
        self._whole: set[str] = set()  # secret by their origin: hidden even if short, where they are a whole value
        self.sources: set[str] = set()  # the sources of secrets, so that none is read twice
        self.reach = 0  # characters of the longest form
        self.add(values)

    def spare(self, names: Iterable[str]) -> None:
        """Never hide these words: they are names, and hiding them would make output unreadable."""
        self._spared |= {name.lower() for name in names}

    def add(self, values: Iterable[str]) -> None:
        """Hide these values from now on, except for those that are short or ordinary words."""
        with self._lock:
            fresh = [value for value in values if value not in self._values]
            self._values |= dict.fromkeys(fresh)
            forms = dict(self._forms)
            for value in fresh:
                for form, coded in _forms(value.strip()) if value.strip().lower() not in self._spared else ():
                    known = forms.get(form[:_HEAD], ())
                    if (form, coded) not in known:
                        forms[form[:_HEAD]] = (*known, (form, coded))
                        self.reach = max(self.reach, len(form))
            self._forms = forms

    def learn(self, *documents: Any) -> None:
        """Add every secret in values or manifests."""
        for document in documents:
            self.add(secret_values(document))
            found = tuple(marked_in(document))
            self.add(found)
            self._whole |= {text for text in found if len(text) > 1 and not is_ordinary(text)}

    @property
    def values(self) -> tuple[str, ...]:
        """Return all known secrets."""
        return tuple(self._values)

    def text(self, text: str) -> str:
        """Return the text without known and apparent secrets, even if escape sequences divide them."""
        found = replaced(text, [*self._known(text), *spans(text)])
        if _ESCAPES.search(found):
            bare = _ESCAPES.sub("", found)
            if hits := [*self._known(bare), *spans(bare)]:
                return replaced(bare, hits)
        return found

    def hide(self, value: Any) -> Any:
        """Return a copy of values or of a manifest that may be shown."""
        return hidden(value, lambda text: HIDDEN if text in self._whole else self.text(text))

    def _known(self, text: str) -> Iterator[tuple[int, int]]:
        forms = self._forms
        if not forms:
            return
        whole = (0, 0)  # the last word of base64, which may hold a secret many times
        for at in range(len(text) - _HEAD + 1):
            for form, coded in forms.get(text[at : at + _HEAD], ()):
                if not text.startswith(form, at):
                    continue
                if not coded:
                    yield at, at + len(form)
                elif at + len(form) > whole[1]:
                    whole = _whole(text, at, at + len(form))
                    yield whole


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the whole word of base64 around a piece of it, because its edges hold bits of the secret."""
    while start and _BASE64.match(text[start - 1]):
        start -= 1
    while end < len(text) and (_BASE64.match(text[end]) or text[end] == "="):
        end += 1
    return start, end


def _forms(value: str) -> Iterator[tuple[str, bool]]:
    """Yield the forms of a secret (unchanged, by line, escaped, encoded), and whether each is base64."""
    if len(value) < SHORTEST or is_common(value):
        return
    plain = {value, *(line for line in _lines(value))}
    for form in tuple(plain):
        plain |= _escaped(form)
    yield from ((form, False) for form in plain if len(form) >= SHORTEST)
    yield from ((form, True) for form in _encoded(value.encode(errors="surrogateescape")))


def _lines(value: str) -> Iterator[str]:
    """Yield the lines of a secret of several lines, without ordinary settings (`port: 8080`)."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) < 2:  # noqa: PLR2004 - only of several
        return
    settings = [line for line in lines if re.match(r"[\w.-]+\s*[:=]", line)]
    for line in lines:
        if len(line) < SHORTEST_LINE or line.startswith("#"):
            continue
        if 2 * len(settings) < len(lines) or without_secrets(line) != line:
            yield line


def _escaped(value: str) -> set[str]:
    """Return the forms in JSON (Go also escapes <, > and &) and in a URL."""
    from urllib.parse import quote

    ours, ascii_only = (json.dumps(value, ensure_ascii=flag)[1:-1] for flag in (False, True))
    go = ours.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    return {ours, ascii_only, go, quote(value, safe="", errors="surrogateescape")} if len(value) < 4096 else {ours}  # noqa: PLR2004


def _encoded(raw: bytes) -> Iterator[str]:
    """Yield its base64 forms, alone or within a longer text, on one line or on several."""
    for lead in range(3):
        skipped = -lead % 3
        core = raw[skipped : skipped + (len(raw) - skipped) // 3 * 3]
        text = base64.b64encode(core).decode()
        if len(text) >= _CODED:
            yield from {text[:_SLICE], *_slices(text)} if len(text) > _WRAPS[0] else {text}
            if "+" in text or "/" in text:
                yield text[:_SLICE].replace("+", "-").replace("/", "_")


def _slices(text: str) -> Iterator[str]:
    """Yield pieces of a long text, so that each of its lines holds one, also the last line."""
    yield from (text[at : at + _SLICE] for at in range(0, len(text) - _SLICE + 1, _SLICE))
    for width in _WRAPS:
        tail = text[len(text) // width * width :]
        if len(tail) >= _CODED:
            yield tail[:_SLICE]
