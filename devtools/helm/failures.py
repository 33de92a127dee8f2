"""Classifies a failure of helm by its message; pure.

A single word in a message proves little, because a chart's own `fail` text, a value or an object's name may contain it.
So this goes by the structure of Helm's messages: their beginning, the URL of a failed request, the end of an error
chain. `tests/cases/helm-failures.yaml` holds recorded messages, and marks those written by hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from devtools.helm.commands import MEMORY

Kind = Literal["away", "network", "webhook", "chart", "other"]

_VERB = re.compile(r"^(?:UPGRADE|INSTALLATION|ROLLBACK|UNINSTALL) FAILED: ")
# Printed next to the message, by klog, slog or cobra.
_NOISE = re.compile(r"[EFIW]\d{4} \d\d:|(?:time|level)=|WARNING: |Use --debug flag to render")
_TEMPLATE = re.compile(r"\S+:\d+(?::\d+)?$")  # the first line of the trace of a template's error
WEBHOOK = re.compile(
    r'failed calling webhook "(?P<name>[^"]+)": (?P<why>.*)|admission webhook "[^"]*" denied the request', re.DOTALL
)
_CAUSE = (
    r"(?:.*(?:connection refused|no such host|i/o timeout|TLS handshake timeout|connection reset by peer|broken pipe"
    r"|network is unreachable|no route to host|server sent GOAWAY.*|http2: client connection lost"
    r"|Client\.Timeout exceeded.*|context deadline exceeded)|(?:unexpected )?EOF"
    r"|stream error: stream ID \d+; INTERNAL_ERROR; received from peer)"  # the API server's answer was cut off
)
_REQUEST = r'(?:Get|Head|Post|Put|Patch|Delete) "?https?://[^/\s"]+'
_FAILED_REQUEST = rf": {_CAUSE}(?= - error from|$)"
# The first match decides.
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "chart",
        re.compile(
            r"^(?:execution|parse) error at \(|^template: |^YAML parse error on |^failed to parse |^cannot load "
            r"|^error unpacking |^values don't meet the specifications of the schema"
            r"|^an error occurred while checking for chart dependencies|^chart requires kubeVersion"
        ),
    ),
    ("webhook", WEBHOOK),
    ("other", re.compile(r'" is invalid: ')),  # the API server answered, and repeats names and values
    # An API server that hung or lost its etcd for a while, by the messages of all three; or a lost connection.
    (
        "away",
        re.compile(
            r"^kubernetes cluster unreachable: |^could not get apiVersions from Kubernetes: "
            r"|(?:^|: )(?:etcdserver: (?:request timed out|leader changed|no leader)\b.*"
            r"|resource quota evaluation timed out|apiserver is shutting down\b.*"
            r"|Timeout: request did not complete within requested timeout\b.*"
            r"|the server was unable to return a response in the time allotted\b.*"
            r"|(?:read|write) tcp \S+: (?:connection reset by peer|i/o timeout|broken pipe)"
            r"|http2: client connection lost|http2: server sent GOAWAY\b.*|(?:unexpected )?EOF)$"
        ),
    ),
    ("away", re.compile(rf'{_REQUEST}/(?:api|apis|openapi|version)(?:[/?][^\s"]*)?"?{_FAILED_REQUEST}')),
    ("network", re.compile(rf'{_REQUEST}(?:/[^\s"]*)?"?{_FAILED_REQUEST}')),
)
_NO_MEMORY = re.compile(r"^fatal error: .*(?:out of memory|cannot allocate|cannot map pages)", re.MULTILINE)  # Go's
_TOO_LARGE = re.compile(
    r'Secret "sh\.helm\.release[^"]*" is invalid: data: Too long|etcdserver: request is too large'
    r"|^create: failed to create: Request entity too large: "
)
_UNRECORDED = re.compile(r'^level=ERROR msg="failed to record the release" error="(.*)"$', re.MULTILINE)
_SPLIT = "Helm keeps what it rendered in one Secret of at most 1 MiB: split the chart, or move CRDs to its crds/"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmFailure:
    """Helm's message as one line without its prefixes, the kind of failure, and what to do, if known.

    `away`: the API server did not answer, or not in time. `network`: another server, such as a registry, did not.
    `webhook`: an admission webhook refused, or did not answer. `chart`: the chart or its values.
    """

    kind: Kind
    text: str
    hint: str = ""

    @property
    def is_certain(self) -> bool:
        """Report whether rendering fails on any cluster: a template's syntax, or values that break their schema."""
        return any(sign in self.text for sign in ("parse error", "values don't meet the specifications of the schema"))


def unrecorded(stderr: str) -> str:
    """Return why helm could not mark an installed release as deployed, for which it exits with 0; empty if it could."""
    found = _UNRECORDED.search(stderr)
    return found[1].replace('\\"', '"') if found else ""


def classify(stderr: str) -> HelmFailure:
    """Return what the end of helm's output means."""
    if not message(stderr) and _NO_MEMORY.search(stderr):
        hint = "a template of the chart, or a value, probably grows without end"
        return HelmFailure(kind="chart", text=f"helm ran out of memory; it may have {MEMORY >> 30} GiB", hint=hint)
    lines = message(stderr).splitlines() or [line for line in stderr.splitlines() if line.strip()][-1:]
    if not lines:
        return HelmFailure(kind="other", text="helm failed without an error message")
    lines = [line.strip() for line in lines if line.strip()]
    lines[0] = _VERB.sub("", lines[0])
    if is_trace := _TEMPLATE.match(lines[0]) is not None:
        lines[0] += ":"
    text = " ".join(lines)
    kind: Kind = next((kind for kind, pattern in _KINDS if pattern.search(text)), "other")
    return HelmFailure(kind="chart" if is_trace else kind, text=text, hint=_SPLIT if _TOO_LARGE.search(text) else "")


def message(stderr: str) -> str:
    """Return the text from `Error: ` to the end, without log lines in it; empty if helm did not end with an error.

    The first line that begins so counts; further such lines are part of the message.
    """
    lines = stderr.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("Error: ")), None)
    if start is None:
        return ""
    found = [line for line in lines[start:] if not _NOISE.match(line)]
    return "\n".join(found).removeprefix("Error: ").rstrip()
