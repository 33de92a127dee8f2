"""The keys of `images.yaml`, as types for pydantic; imported only when there is such a file to read."""

from __future__ import annotations

from typing import Annotated, Required

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic needs it for Python < 3.12

from devtools.base.image_names import DIGEST, LONGEST, REPOSITORY, TAG
from devtools.config.declared import Text

_STRICT = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


@with_config(_STRICT)
class BuildKeys(TypedDict, total=False):
    """How an image is built."""

    context: Required[Text]
    """The directory that is built from, from the repository's root."""
    file: Text
    """Its Dockerfile, from the context; `Dockerfile` when absent."""
    target: Text
    """The stage of the Dockerfile to build; the last one when absent."""
    args: dict[str, Text]
    """Build arguments; they stay in the image's history, so none is a secret."""


@with_config(_STRICT)
class ImageKeys(TypedDict, total=False):
    """One image."""

    name: Required[Annotated[str, Field(pattern=REPOSITORY, max_length=LONGEST)]]
    """Its name, as charts write it, without tag."""
    tag: Required[Annotated[str, Field(pattern=TAG)]]
    """Its tag."""
    digest: Annotated[str, Field(pattern=DIGEST)] | None
    """Of what the tag meant when it was first pulled; null until then. What is built here has none."""
    purpose: Required[Text]
    """What it is for."""
    build: BuildKeys
    """How it is built; what has neither this nor `archive` is pulled."""
    archive: Text
    """An archive that `docker save` wrote, from the repository's root, instead of a registry."""


@with_config(_STRICT)
class ImagesFile(TypedDict, total=False):
    """The images that clusters are given before charts want them: `images.yaml`."""

    images: list[ImageKeys]
    """The images."""
