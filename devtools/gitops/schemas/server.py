"""Strict dry runs on an API server: unknown and duplicate fields, types, required fields and CEL rules.

An object is created with `dryRun=All`, so nothing is stored. Missing CRDs are created for the duration of the check;
each is removed afterwards unless another manager has applied it or an object of its kind exists.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted
from devtools.gitops.schemas import NOT_SERVED, Checked, Rejection, counted, key_path, kind_of, without_status
from devtools.gitops.schemas.crds import Crds
from devtools.kube.api_errors import CONFLICT, FORBIDDEN, NOT_FOUND
from devtools.kube.client import ApiError, Kube
from devtools.process.runner import Cancel
from devtools.process.waiting import wait_until
from devtools.readiness.rules import condition
from devtools.releases.crds import CRDS

LABEL = "devtools.ameide.io/schema-check"
_MANAGER = "devtools-schema-check"
_PARALLEL = 4  # requests
_ESTABLISHED_IN = 120.0  # seconds
_GONE_IN = 60.0
_LOOK = 0.1
_ATTEMPTS = 5
_STRICT = re.compile(r"(unknown|duplicate) field \"([^\"]+)\"")
_INVALID = re.compile(
    r"(?:^|[\[ ])((?:spec|metadata|data|stringData|webhooks|rules)[\w.\[\]/-]*): "
    r"(Required|Invalid|Unsupported|Forbidden|Duplicate|Too \w+|Not found)"
)


def check(kube: Kube, objects: Sequence[Mapping[str, Any]], crds: Crds, cleaner: Kube) -> Checked:
    """Have the server validate every object; raise EnvironmentFault if it does not answer.

    `cleaner` is a client that an interruption does not stop: it removes the created CRDs.
    """
    with _with_crds(kube, objects, crds, cleaner):
        namespaces = {str(item["name"]) for item in kube.metadata("/api/v1/namespaces")}
        applied = [(index, item) for index, item in enumerate(objects) if kind_of(item)[0] not in NOT_SERVED]
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="schema") as pool:
            answers = list(pool.map(lambda pair: _answer(kube, pair[0], pair[1], namespaces), applied))
    skipped = counted(item for (_, item), answer in zip(applied, answers, strict=True) if answer is None)
    found = tuple(one for answer in answers for one in answer or ())
    return Checked(by=f"API server {kube.version()}", rejections=found, skipped=skipped)


def _answer(kube: Kube, index: int, item: Mapping[str, Any], namespaces: set[str]) -> tuple[Rejection, ...] | None:
    """Return the server's errors about an object; None if it does not serve the kind."""
    if kube.cancel.is_set():
        raise Interrupted(kube.cancel.reason)
    resource = kube.resource(str(item.get("kind")), str(item.get("apiVersion")))
    if resource is None:
        return None
    body = without_status(item)
    if resource.namespaced and body["metadata"].get("namespace") not in namespaces:
        body["metadata"]["namespace"] = "default"  # the object's own may not exist yet
    try:
        kube.validate(resource.path(body["metadata"].get("namespace", "")), body)
    except ApiError as error:
        if error.status == CONFLICT:  # an object of that name exists: the new one was validated before that check
            return ()
        if "failed calling webhook" in error.text:  # of an operator that is only simulated
            return ()
        if error.status in {NOT_FOUND, FORBIDDEN} and "namespace" in error.text:
            raise EnvironmentFault(f"the check of schemas failed: {error.message}") from error
        return tuple(_rejections(index, error.text))
    return ()


def _rejections(index: int, text: str) -> Iterator[Rejection]:
    """One rejection for each field that the server names; else one for the object."""
    strict = list(_STRICT.finditer(text))
    for match in strict:
        what = f"{match[1]} field {match[2]}"
        yield Rejection(index=index, path=key_path(match[2]), message=what, unknown=match[1] == "unknown")
    if strict:
        return
    fields = [match[1] for match in _INVALID.finditer(text)]
    message = " ".join(text.partition(" is invalid: ")[2].split()) or " ".join(text.split())
    yield Rejection(index=index, path=key_path(fields[0]) if fields else (), message=message)


@contextlib.contextmanager
def _with_crds(kube: Kube, objects: Sequence[Mapping[str, Any]], crds: Crds, cleaner: Kube) -> Iterator[None]:
    """Make the server serve the kinds of the objects, as far as their CRDs are known."""
    _sweep(kube)
    kinds = {kind_of(item) for item in objects}
    missing = [
        crd
        for (group, kind), crd in crds.items()
        if any((group, kind) == (one[0], one[2]) and kube.resource(kind, f"{group}/{one[1]}") is None for one in kinds)
        and _is_absent(kube, str(crd["metadata"]["name"]))
    ]
    made: list[str] = []
    try:
        for crd in missing:
            made.append(str(crd["metadata"]["name"]))
            _create(kube, crd)
        _await(kube, made, kube.cancel)
        yield
    finally:
        with contextlib.suppress(DevtoolsError):
            for name in made:
                _remove(cleaner, name)
            _await_removal(cleaner, made)
        kube.discover()


def _is_absent(kube: Kube, name: str) -> bool:
    """Return whether no CRD of that name exists; wait if one is being removed."""
    crd = kube.get(f"{CRDS}/{name}")
    if crd and crd["metadata"].get("deletionTimestamp"):
        _await_removal(kube, [name])
        crd = kube.get(f"{CRDS}/{name}")
    return crd is None


def _create(kube: Kube, crd: Mapping[str, Any]) -> None:
    metadata = crd["metadata"]
    labels = {LABEL: str(int(time.time()))}
    body = {
        "apiVersion": crd["apiVersion"],
        "kind": crd["kind"],
        "metadata": {"name": metadata["name"], "labels": labels, "annotations": metadata.get("annotations") or {}},
        "spec": {key: value for key, value in crd["spec"].items() if key != "conversion"},
    }
    kube.create(CRDS, body, fieldManager=_MANAGER)


def _await(kube: Kube, names: Iterable[str], cancel: Cancel) -> None:
    end = time.monotonic() + _ESTABLISHED_IN
    for name in names:
        look = partial(_is_established, kube, name)
        if not wait_until(look, end - time.monotonic(), cancel, _LOOK):
            raise EnvironmentFault(f"CRD {name} was not established in {_ESTABLISHED_IN:.0f} s")
    kube.discover()


def _is_established(kube: Kube, name: str) -> bool:
    return condition(kube.get(f"{CRDS}/{name}") or {}, "Established").get("status") == "True"


def _remove(kube: Kube, name: str) -> None:
    """Remove a CRD that this check created, unless another manager has applied it."""
    for _ in range(_ATTEMPTS):
        crd = kube.get(f"{CRDS}/{name}")
        if crd is None or not _is_ours(crd) or crd["metadata"].get("deletionTimestamp"):
            return
        names = crd["spec"]["names"]
        version = next(item["name"] for item in crd["spec"]["versions"] if item.get("served"))
        if kube.metadata(f"/apis/{crd['spec']['group']}/{version}/{names['plural']}"):
            return
        try:
            kube.delete(f"{CRDS}/{name}", version=str(crd["metadata"]["resourceVersion"]))
        except ApiError as error:
            if error.status != CONFLICT:  # its status changes when the server starts to serve it
                raise
        else:
            return


def _await_removal(kube: Kube, names: Sequence[str]) -> None:
    """Wait until the server has removed the objects of CRDs, so that the next check can create them again."""

    def is_removed() -> bool:
        there = {str(item["name"]): item for item in kube.metadata(CRDS, labelSelector=LABEL)}
        return not any(there.get(name, {}).get("deletionTimestamp") for name in names)

    if names:
        wait_until(is_removed, _GONE_IN, Cancel(), _LOOK)


def _is_ours(crd: Mapping[str, Any]) -> bool:
    """Return whether only this check and the API server have written a CRD."""
    managers = {item.get("manager") for item in crd["metadata"].get("managedFields") or ()}
    return LABEL in (crd["metadata"].get("labels") or {}) and managers <= {_MANAGER, "kube-apiserver"}


def _sweep(kube: Kube) -> None:
    """Remove CRDs that a killed check left more than an hour ago: a younger one may still be in use."""
    for metadata in kube.metadata(CRDS, labelSelector=LABEL):
        made = str((metadata.get("labels") or {}).get(LABEL))
        if made.isdigit() and time.time() - int(made) > 3600:  # noqa: PLR2004 - seconds
            with contextlib.suppress(DevtoolsError):
                _remove(kube, str(metadata["name"]))
