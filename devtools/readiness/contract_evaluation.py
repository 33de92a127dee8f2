"""Evaluates a contract against an object's status; pure, on API objects as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.errors import ConfigError, Problem
from devtools.model import Contract
from devtools.readiness.rules import condition, conditions, job_result, status_of, waits_for
from devtools.redaction import HIDDEN

_BAD = re.compile("^(not|un)|fail|error|degraded|stalled|invalid|conflict|pressure", re.IGNORECASE)
_QUOTED = 2  # conditions that a reason quotes
# Reasons of a False condition that blame the object itself: those of Gateway API (GatewayConditionReason and its
# siblings) and what others call the same. Not those that wait for something else, such as `AddressNotAssigned`.
_REFUSED = frozenset(
    {"Invalid", "InvalidParameters", "InvalidSpec", "InvalidConfiguration", "Unsupported", "UnsupportedAddress"}
)
_STALLED = "Stalled"  # kstatus: no progress without intervention


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The observed value, whether it meets the contract, and if not what is wrong.

    `final`: it will not change. `refused`: its operator reports that the object itself is wrong.
    """

    value: str
    good: bool
    reason: str = ""
    final: bool = False
    refused: bool = False


def evaluate(contract: Contract, item: Mapping[str, Any]) -> Evaluation:
    """Evaluate a contract against its object; raise ConfigError for a path that cannot be parsed."""
    if contract.condition:
        return _condition(contract.condition, item)
    if contract.jsonpath:
        value = ", ".join(find(contract, item))
        good = value == contract.equals if contract.equals else bool(value)
        value = HIDDEN if contract.hides(value) else value
        if good and ".status" in contract.jsonpath and (old := _outdated(item, {})):
            return Evaluation(value=value, good=False, reason=f"{contract.jsonpath} is {value}, {old}")
        return Evaluation(
            value=value,
            good=good,
            reason=f"{contract.jsonpath} is {value or 'absent'}" + _complaints(item),
            refused=_is_stalled(item),
        )
    if item.get("kind") == "Job":
        result, message = job_result(item)
        return Evaluation(
            value=result or "running",
            good=result == "complete",
            reason=message or "is running",
            final=result == "failed",
        )
    if item.get("kind") == "PersistentVolumeClaim":
        phase = str(status_of(item).get("phase", "Pending"))
        return Evaluation(value=phase, good=phase == "Bound", reason=f"is {phase}")
    reason = waits_for(item)
    return Evaluation(value=reason or "ready", good=not reason, reason=reason)


def _condition(kind: str, item: Mapping[str, Any]) -> Evaluation:
    """Evaluate a status condition, which must be True for the newest spec."""
    found = condition(item, kind)
    value = str(found.get("status", "absent"))
    if value == "True":
        old = _outdated(item, found)
        return Evaluation(value=f"{kind}=True", good=not old, reason=f"{kind} is True, {old}")
    quotes = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
    return Evaluation(
        value=f"{kind}={value}",
        good=False,
        reason=f"{kind} is {value}" + (f" ({quotes})" if found.get("message") else _complaints(item)),
        refused=(value == "False" and str(found.get("reason")) in _REFUSED and not _outdated(item, found))
        or _is_stalled(item),
    )


def _is_stalled(item: Mapping[str, Any]) -> bool:
    """Return whether its operator has given up on the newest spec."""
    found = condition(item, _STALLED)
    return found.get("status") == "True" and not _outdated(item, found)


def _outdated(item: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return whether a status, or one condition of it, is about an older spec, not yet updated by its operator."""
    newest = item["metadata"].get("generation")
    generation = entry.get("observedGeneration") or status_of(item).get("observedGeneration")
    late = isinstance(newest, int) and isinstance(generation, int) and generation < newest
    return f"but of generation {generation}, not {newest}" if late else ""


def _complaints(item: Mapping[str, Any]) -> str:
    """Return the problems in a status: its message, and the conditions that are not as they should be."""
    status = status_of(item)
    quotes = [str(status["message"])] if isinstance(status.get("message"), str) and status["message"] else []
    for entry in conditions(item):
        is_bad_name = bool(_BAD.search(str(entry.get("type", ""))))
        if entry.get("status") == ("True" if is_bad_name else "False"):
            words = [f"{entry.get('type')}={entry.get('status')}", *(entry.get(key) for key in ("reason", "message"))]
            quotes.append(": ".join(str(word) for word in words if word))
    return f" ({'; '.join(quotes[:_QUOTED])})" if quotes else ""


def find(contract: Contract, item: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values at a contract's path, in kubectl's notation `{.status.phase}`."""
    from jsonpath_ng.exceptions import JSONPathError
    from jsonpath_ng.ext.parser import parse

    text = contract.jsonpath.strip().removeprefix("{").removesuffix("}")
    try:
        found = parse(f"${_quoted(text)}").find(item)
    except (JSONPathError, ValueError, TypeError, AttributeError, KeyError) as error:
        problem = Problem(where=contract.where, message=f"jsonpath {contract.jsonpath!r} cannot be read: {error}")
        raise ConfigError("a contract cannot be evaluated", problems=(problem,)) from error
    for match in found:
        if match.value is not None:
            yield str(match.value).lower() if isinstance(match.value, bool) else str(match.value)


def _quoted(path: str) -> str:
    r"""Rewrite kubectl's `.labels.app\.kubernetes\.io/name` to `.labels['app.kubernetes.io/name']`."""

    def quote(match: re.Match[str]) -> str:
        return "['" + match[1].replace("\\.", ".") + "']"

    return re.sub(r"\.((?:[\w/-]|\\\.)*\\\.(?:[\w/-]|\\\.)*)", quote, path)
