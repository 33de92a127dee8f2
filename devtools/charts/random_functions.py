"""Finds templates that render differently each time, by the functions they call.

devtools compares inputs, not renderings, so such a release does not look changed; but each upgrade generates new
passwords, keys and certificates. A run warns of that before it starts.
Functions: https://masterminds.github.io/sprig/, https://helm.sh/docs/chart_template_guide/function_list/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.charts.crds import files_of

_RANDOM = (
    r"rand(?:AlphaNum|Alpha|Numeric|Ascii|Bytes|Int)|uuidv4|shuffle|htpasswd|bcrypt|encryptAES|now"
    r"|gen(?:PrivateKey|CAWithKey|CA|SelfSignedCertWithKey|SelfSignedCert|SignedCertWithKey|SignedCert)"
)
_CALL = re.compile(rf"(?<![\w.$\-])(?:{_RANDOM})(?![\w\-])|(?<![\w)])\.Release\.Revision\b|\$\.Release\.Revision\b")
_LOOKUP = re.compile(r"(?<![\w.$\-])lookup(?![\w\-])")
_CAPABILITIES = re.compile(r"\.Capabilities\b")
_LIVE = re.compile(rf"{_LOOKUP.pattern}|\.Release\.Revision\b")
_ACTION = re.compile(r"\{\{-?\s*(?!/\*)(.*?)\}\}", re.DOTALL)
_COMMENT = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_DEFINE = re.compile(r'\{\{-?\s*define\s+"([^"]+)"')
_INCLUDE = re.compile(r'(?<![\w.$\-])(?:include|template)\s+"([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """A template file that calls a random function, itself or through a template that it includes.

    With `lookup` it also reads objects on the cluster, usually to reuse the values generated before.
    """

    file: str
    calls: tuple[str, ...]
    lookup: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """The functions that a part of a template calls, and the templates it includes."""

    calls: frozenset[str]
    includes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """What the templates of a chart may read besides their values; `tpl` applied to a value counts, too.

    `live`: objects on the cluster, or the number of the revision. `capabilities`: the API versions of the cluster.
    """

    random: tuple[Random, ...] = ()
    live: bool = False
    capabilities: bool = False


def uses_of(chart: Path, values: Mapping[str, Any]) -> Uses:
    """Return what the templates of a chart and of its enabled subcharts may read; ConfigError if it cannot be read."""
    parts = tuple(files_of(chart, values, _is_template))
    texts = [json.dumps(values, default=str)]
    for where, files in parts:
        texts += [text.decode("utf-8", "replace") for name, text in files.items() if _is_template(where + name)]
    text = "\n".join(texts)
    return Uses(
        random=_random(parts),
        live=_LIVE.search(text) is not None,
        capabilities=_CAPABILITIES.search(text) is not None,
    )


def random_templates(chart: Path, values: Mapping[str, Any]) -> tuple[Random, ...]:
    """Return the random templates of a chart (directory or archive) and its enabled subcharts, sorted.

    Only rendering would show whether the values lead to such a call. Raises ConfigError if the chart cannot be read.
    """
    return _random(files_of(chart, values, _is_template))


def _random(parts: Iterable[tuple[str, Mapping[str, bytes]]]) -> tuple[Random, ...]:
    rendered: dict[str, _Text] = {}
    named: dict[str, _Text] = {}
    for where, files in parts:
        for name in files:
            if name.startswith("templates/") and _is_template(name):
                text = _COMMENT.sub("", files[name].decode("utf-8", "replace"))
                _, *defined = _DEFINE.split(text)
                named |= {key: _text(body) for key, body in zip(defined[::2], defined[1::2], strict=True)}
                if not name.rpartition("/")[2].startswith("_"):
                    rendered[where + name] = _text(text)
    found = ((file, _reached(text, named)) for file, text in sorted(rendered.items()))
    return tuple(
        Random(file=file, calls=tuple(sorted(calls - {"lookup"})), lookup="lookup" in calls)
        for file, calls in found
        if calls - {"lookup"}
    )


def may_be_random(text: str) -> bool:
    """Return whether a template may call a random function, by a quick scan of its actions alone."""
    return "{{" in text and any(_CALL.search(action) for action in _ACTION.findall(text))


def _is_template(name: str) -> bool:
    """Return whether it is a file of `templates/`, of a chart or subchart, whose output is applied to the cluster."""
    *above, last = name.split("/")
    return "templates" in above and last != "NOTES.txt" and "tests" not in above


def _text(text: str) -> _Text:
    actions = " ".join(_ACTION.findall(text))
    bare = _QUOTED.sub('""', actions)
    calls = {item.removeprefix("$") for item in _CALL.findall(bare)} | ({"lookup"} if _LOOKUP.search(bare) else set())
    return _Text(calls=frozenset(calls), includes=frozenset(_INCLUDE.findall(actions)))


def _reached(text: _Text, named: Mapping[str, _Text]) -> set[str]:
    """Return everything that a template calls, including calls of included templates."""
    calls, open_, known = set(text.calls), list(text.includes), set(text.includes)
    while open_:
        below = named.get(open_.pop())
        if below:
            calls |= below.calls
            open_ += below.includes - known
            known |= below.includes
    return calls


def describe(found: tuple[Random, ...]) -> Iterator[str]:
    """Return `randAlphaNum in templates/secret.yaml` for each file."""
    for item in found:
        exception = ", unless its lookup finds an existing object" if item.lookup else ""
        yield f"{', '.join(item.calls)} in {item.file}{exception}"
