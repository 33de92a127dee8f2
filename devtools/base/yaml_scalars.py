"""Reads plain YAML scalars as Helm reads them.

Helm parses values with go-yaml v2 (its `resolve.go`), whose YAML 1.1 differs from PyYAML's: no sexagesimal numbers
(`22:22` stays text), timestamps stay text, `1e3` is a number, `0o14` is octal, and a bare `=` is text. Values pass
through here on their way to Helm, so reading them differently would change what is deployed.
"""

from __future__ import annotations

import re

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|0[bB]([01]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")  # everything that Go's ParseFloat accepts
_DIGITS_AT_MOST = 400  # Python refuses longer integers, and no file needs them
_INT64, _UINT64 = 2**63, 2**64


class BadScalar(ValueError):
    """Helm would refuse the scalar."""


def plain(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted, untagged scalar; raises BadScalar for infinities, which JSON lacks."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INFINITE.fullmatch(text):
        raise BadScalar(f"{text} cannot be passed to Helm: values are JSON, which has no such number")
    digits = _BETWEEN_DIGITS.sub("", text) if text[0] == "." else text.replace("_", "")
    if len(digits) > _DIGITS_AT_MOST:
        return text
    number = _integer(digits)
    return number if number is not None else _float(digits, text)


def _integer(digits: str) -> int | None:
    """Return a whole number that fits 64 bits, or None."""
    match = _INTEGER.fullmatch(digits)
    if match is None:
        return None
    sign, *bodies = match.groups()
    value = next(int(body, base) for body, base in zip(bodies, (16, 8, 2, 10), strict=True) if body)
    if sign == "-":
        return -value if value <= _INT64 else None
    return value if value < (_INT64 if sign else _UINT64) else None


def _float(digits: str, text: str) -> float | str:
    """Return a finite number, or the text itself."""
    if not _FLOAT.fullmatch(digits):
        return text
    value = float(digits)
    return text if value in (float("inf"), float("-inf")) else value


def tagged(tag: str, text: str) -> str | int | float | bool | None:
    """Return the value of a scalar with an explicit standard tag (`!!int "3"`); raises BadScalar for a mismatch."""
    wanted: dict[str, type] = {"int": int, "float": float, "bool": bool}
    if tag in ("str", "timestamp", "value"):
        return text
    value = plain(text)
    if tag == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (tag == "null" and value is None) or (tag in wanted and type(value) is wanted[tag]):
        return value
    raise BadScalar(f"{text!r} cannot be read as !!{tag}" if tag in (*wanted, "null") else f"tag !{tag} is not allowed")
