"""Version ranges of chart dependencies, evaluated like Masterminds/semver v3.

No Python library reads all of them in the same way; the tests compare this module with the real helm.
"""

from __future__ import annotations

import operator
import re

_VERSION = r"v?([0-9xX*]+)(?:\.([0-9xX*]+))?(?:\.([0-9xX*]+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_OPERATOR = r"!=|>=|=>|<=|=<|~>|=|>|<|~|\^|"
_LONGEST = 1000  # longest range in characters: finding `1 - 2` in it takes quadratic time
_ONE = re.compile(rf"({_OPERATOR})\s*+{_VERSION}")
_ALL = re.compile(rf"\s*+{_ONE.pattern}(?:(?:\s++(?:,\s*+)?|,\s*+){_ONE.pattern})*+\s*+")  # matches in linear time
_RANGE = re.compile(rf"\s*({_VERSION})\s+-\s+({_VERSION})\s*")
_WILD = frozenset({None, "x", "X", "*"})
_Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
_COMPARE = {
    **dict.fromkeys(("", "="), operator.eq),
    **dict.fromkeys((">=", "=>"), operator.ge),
    **dict.fromkeys(("<=", "=<"), operator.le),
    ">": operator.gt,
    "<": operator.lt,
}


def is_compatible(constraint: str, version: str) -> bool:
    """Return whether Masterminds/semver v3 finds a version in a range; False if either is unreadable or empty."""
    if len(constraint) > _LONGEST:
        return False
    found = re.fullmatch(_VERSION, version.strip())
    if found is None or _WILD & {*found.groups()[:1]}:
        return False
    major, minor, patch, pre = found.groups()
    try:
        order = _order((int(major), int(minor or 0), int(patch or 0)), pre)
        groups = _RANGE.sub(lambda match: f">= {match[1]}, <= {match[6]} ", constraint).split("||")
        return all(_ALL.fullmatch(group) for group in groups) and any(_in_group(group, order) for group in groups)
    except ValueError:  # `1x` is not a number
        return False


def _in_group(group: str, version: _Order) -> bool:
    """Return whether every constraint of a group holds; pre-releases match only ranges that name one."""
    constraints = [match.groups() for match in _ONE.finditer(group)]
    if not version[3] and not any(pre for *_, pre in constraints):
        return False
    return all(_holds(*constraint, version=version) for constraint in constraints)


def _holds(sign: str, major: str, minor: str | None, patch: str | None, pre: str | None, *, version: _Order) -> bool:
    """Return whether one constraint holds; a missing part or `x` matches any number."""
    any_minor = any_patch = False
    if major in _WILD:
        numbers, is_partial = (0, 0, 0), True
    elif minor in _WILD:
        numbers, is_partial, any_minor = (int(major), 0, 0), True, True
    else:
        any_patch = is_partial = patch in _WILD
        numbers = (int(major), int(minor or 0), 0 if is_partial else int(patch or 0))
    limit = _order(numbers, pre)
    if sign in ("~", "~>") or (sign in ("", "=") and is_partial):
        return _satisfies_tilde(version, limit, any_minor=any_minor, any_patch=any_patch)
    if sign == "^":
        return _satisfies_caret(version, limit, any_minor=any_minor, any_patch=any_patch)
    places = 3 if not is_partial else 0 if major in _WILD else 1 if any_minor else 2
    if sign == "!=":
        return version != limit if not is_partial else version[:places] != limit[:places]
    if is_partial and sign in (">", "<=", "=<"):
        places = max(places, 1)
        return (version[:places] > limit[:places]) == (sign == ">")
    return bool(_COMPARE[sign](version, limit))


def _satisfies_tilde(version: _Order, limit: _Order, *, any_minor: bool, any_patch: bool) -> bool:
    """Evaluate `~1.2.3`: at least that, and the same minor version."""
    if version < limit:
        return False
    if limit[:3] == (0, 0, 0) and not any_minor and not any_patch:
        return True
    return version[0] == limit[0] and (any_minor or version[1] == limit[1])


def _satisfies_caret(version: _Order, limit: _Order, *, any_minor: bool, any_patch: bool) -> bool:
    """Evaluate `^1.2.3`: at least that, and the same up to the first number that is not 0."""
    if version < limit:
        return False
    if limit[0] > 0 or any_minor:
        return version[0] == limit[0]
    if limit[1] > 0 or any_patch:
        return version[:2] == limit[:2]
    return version[:3] == limit[:3]


def _order(numbers: tuple[int, int, int], pre: str | None) -> _Order:
    """Return a key that sorts versions by Semantic Versioning 2.0.0."""
    parts = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in (pre or "").split("."))
    return (*numbers, not pre, parts if pre else ())
