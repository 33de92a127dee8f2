"""Maps each key of the stack to Argo CD and Flux: the table of docs/gitops.md and `gitops.explain`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools.base.machine_yaml import read_yaml
from devtools.base.open_file import read_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A key, and the fields that it maps to: of an Application's spec, and of a HelmRelease's.

    Fields are dotted paths below `spec`, or a description of another place; empty if there is none.
    """

    key: str
    owner: Literal["release", "layer", "environment", "chart", "stack"]
    argocd: tuple[str, ...] = ()
    flux: tuple[str, ...] = ()
    argocd_note: str = ""
    flux_note: str = ""


MAPPINGS = tuple(
    Mapping(**row | {engine: tuple(row.get(engine, ())) for engine in ("argocd", "flux")})
    for row in read_yaml(read_file(Path(__file__).with_suffix(".yaml")))
)


def table() -> str:
    """Return the table as Markdown."""
    articles = {"environment": "an", "stack": "the"}
    rows = [
        f"| {_key(item)} | {articles.get(item.owner, 'a')} {item.owner} | {_cell(item.argocd, item.argocd_note)} | "
        f"{_cell(item.flux, item.flux_note)} |"
        for item in MAPPINGS
    ]
    return "\n".join(["| key | of | in Argo CD | in Flux |", "|---|---|---|---|", *rows]) + "\n"


def of_releases() -> Iterable[Mapping]:
    """Return the mappings of a release's own keys."""
    return (item for item in MAPPINGS if item.owner == "release")


def _key(item: Mapping) -> str:
    return item.key if item.owner == "chart" else f"`{item.key}`"


def _cell(fields: tuple[str, ...], note: str) -> str:
    return "; ".join(part for part in (", ".join(f"`{field}`" for field in fields), note) if part)
