"""The keys of the chart lock, as types for pydantic; imported only when there is a lock to read."""

from __future__ import annotations

from typing import Annotated, Required

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic needs it for Python < 3.12

from devtools.stack.declared import CHART_PART, OCI, SHA256, URL, VERSION, Text


@with_config(ConfigDict(strict=True, extra="allow", use_attribute_docstrings=True))
class LockedChart(TypedDict, total=False):
    """One vendored chart; other keys are kept as they are."""

    publisher: Required[Annotated[str, Field(pattern=CHART_PART)]]
    """Who publishes it: the first part of its name in layer files."""
    name: Required[Annotated[str, Field(pattern=CHART_PART)]]
    """Its name in Chart.yaml."""
    version: Required[Annotated[str, Field(pattern=VERSION)]]
    """Its version in Chart.yaml."""
    sha256: Required[Annotated[str, Field(pattern=SHA256)]]
    """Of the archive."""
    repository: Annotated[str, Field(pattern=URL)]
    """URL of the chart repository it comes from."""
    oci: Annotated[str, Field(pattern=OCI)]
    """Reference of the OCI artifact it comes from, without a tag."""
    license: Text
    """Its license, as an SPDX expression."""


@with_config(ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True))
class LockFile(TypedDict, total=False):
    """The chart lock: `charts/third_party/lock.yaml`."""

    charts: list[LockedChart]
    """The vendored charts."""
