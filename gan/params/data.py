"""Sections of params.yaml about the data: crawl and preprocessing."""

from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from gan.attributes import MOST_VALUES, normalise_tag
from gan.params.section import Section

Size = Literal[32, 48, 64, 96, 128, 192, 256]
Channel = Annotated[int, Field(ge=0, le=255)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""Name of an attribute or value, which a request may name beside a weight: no colon, no comma."""

Tag = Annotated[str, Field(min_length=1, max_length=100)]


class ScrapeParams(Section):
    """Behaviour of a crawl towards hosts, and its limits."""

    contact: Annotated[str, Field(max_length=200)]
    delay: Annotated[float, Field(ge=0, le=3600)]
    connections: Annotated[int, Field(ge=1, le=256)]
    timeout: PositiveFloat
    retries: Annotated[int, Field(ge=0, le=20)]
    backoff: Annotated[float, Field(ge=0, le=3600)]
    longest_wait: Annotated[float, Field(ge=0, le=86400)]
    give_up_after: PositiveInt
    redirects: Annotated[int, Field(ge=0, le=50)]
    max_pages: PositiveInt
    max_bytes: Annotated[int, Field(ge=1024, le=2**31)]
    max_pixels: PositiveInt
    archive_members: PositiveInt
    archive_bytes: PositiveInt
    archive_ratio: PositiveFloat

    @field_validator("contact")
    @classmethod
    def _check_contact(cls, contact: str) -> str:
        if not (contact.isascii() and contact.isprintable()):
            raise ValueError("must be one line of printable ASCII characters")
        return contact


class FacesParams(Section):
    """Detector of faces, and the rules by which faces become avatars."""

    detector: Literal["animeface", "cascade", "boxes"]
    file: str
    margin: Annotated[float, Field(ge=0.5, le=10)]
    centre: Annotated[float, Field(ge=0, le=1)]
    min_score: Annotated[float, Field(ge=0)]
    min_side: Annotated[int, Field(ge=1)]
    min_share: Annotated[float, Field(ge=0, lt=1)]
    max_faces: Annotated[int, Field(ge=1, le=256)]

    @model_validator(mode="after")
    def _check_file(self) -> Self:
        if self.detector in ("cascade", "boxes") and not self.file:
            raise ValueError(
                f"detector: {self.detector} reads a file: put it into faces/ and name it in `file`"
            )
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                f"file = {self.file!r} must be a name in the folder faces/, which DVC watches"
            )
        return self


class FilterParams(Section):
    """Limits on size and colours; minima of 0 and shares of 1 let everything pass."""

    min_side: Annotated[int, Field(ge=0)]
    max_aspect: Annotated[float, Field(ge=1)]
    min_contrast: Annotated[float, Field(ge=0, le=128)]
    max_one_colour: Annotated[float, Field(ge=0.5, le=1)]
    min_sharpness: Annotated[float, Field(ge=0)]
    min_colour: Annotated[float, Field(ge=0, le=255)]


class DuplicateParams(Section):
    """Duplicates: Hamming distances of 64-bit perceptual hashes, at most."""

    near: bool
    dhash: Annotated[int, Field(ge=0, le=10)]
    phash: Annotated[int, Field(ge=0, le=64)]


class AttributesParams(Section):
    """Attributes of images, each a group of booru tags: exclusive or independent ones.

    An exclusive attribute has values, each with aliases; an independent one is there or not, and
    has the tags that say so. A name is a tag itself.
    """

    least_tags: Annotated[int, Field(ge=0)]
    least_count: PositiveInt
    several: list[Tag]
    exclusive: dict[
        Name, Annotated[dict[Name, list[Tag]], Field(min_length=2, max_length=MOST_VALUES)]
    ]
    independent: dict[Name, list[Tag]]

    @field_validator("exclusive")
    @classmethod
    def _check_tags(
        cls, groups: dict[str, dict[str, list[str]]]
    ) -> dict[str, dict[str, list[str]]]:
        for group, values in groups.items():
            value_of: dict[str, str] = {}
            for value, aliases in values.items():
                for tag in map(normalise_tag, (value, *aliases)):
                    if value_of.setdefault(tag, value) != value:
                        raise ValueError(
                            f"{group}: the tag {tag} is in two values, {value_of[tag]} and "
                            f"{value}; leave it in one"
                        )
        return groups

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [*self.exclusive, *self.independent]
        names += [value for values in self.exclusive.values() for value in values]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{twice[0]} names two attributes or values; rename one")
        return self


class PreprocessParams(Section):
    size: Size
    crop: Literal["square", "pad", "faces"]
    holdout: Annotated[float, Field(ge=0, lt=1)]
    background: Annotated[list[Channel], Field(min_length=3, max_length=3)]
    max_pixels: PositiveInt
    faces: FacesParams
    filters: FilterParams
    duplicates: DuplicateParams
    attributes: AttributesParams
