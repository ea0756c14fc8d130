"""What a registry's documents say: which manifest fits a platform, how large it is, what was built. Pure.

Formats: https://github.com/opencontainers/image-spec (manifest.md, image-index.md, config.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from bot.errors import RegistryError, WrongPlatform

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)

# Variants that run on a machine of the named one, best first; "" stands for images that name none.
# Source: containerd's platforms package, compare.go.
_RUNS = {
    ("amd64", ""): ("", "v1"),
    ("arm64", "v8"): ("v8", ""),
    ("arm64", ""): ("v8", ""),
    ("arm", ""): ("v7", "", "v6", "v5"),
    ("arm", "v8"): ("v8", "v7", "", "v6", "v5"),
    ("arm", "v7"): ("v7", "", "v6", "v5"),
    ("arm", "v6"): ("v6", "v5"),
    ("arm", "v5"): ("v5",),
}

_TCP = re.compile(r"([0-9]{1,5})(/tcp)?")  # https://github.com/opencontainers/image-spec/blob/main/config.md
_LARGE = 16 * 1024

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Document = TypeVar("Document", bound=BaseModel)


class Platform(NamedTuple):
    """`str()` is `os/architecture[/variant]`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(*text.split("/", 2))

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    def runnable(self) -> tuple[Platform, ...]:
        """What a machine of this platform can run, best first."""
        variants = _RUNS.get((self.architecture, self.variant), (self.variant,))
        return tuple(Platform(self.os, self.architecture, variant) for variant in variants)


class _Built(BaseModel):
    """For which platform something was built; same keys in an index and in a configuration."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    @property
    def built_for(self) -> Platform:
        return Platform(self.os, self.architecture, self.variant)


class Descriptor(BaseModel):
    """Points at another document or a layer; `size` in bytes."""

    media_type: str = Field("", alias="mediaType")
    digest: Digest
    size: int = Field(ge=0)
    platform: _Built = _Built()


class Manifest(BaseModel):
    """One image for one platform. A document that is an index as well is refused: CVE-2021-41190."""

    media_type: str = Field("", alias="mediaType")
    config: Descriptor
    layers: list[Descriptor] = Field(max_length=4096)
    manifests: None = None

    @property
    def size(self) -> int:
        """Bytes of the compressed layers: what a pull on an empty machine loads."""
        return sum(layer.size for layer in self.layers)


class Index(BaseModel):
    """One image for several platforms; Docker calls it a manifest list. Never a manifest as well."""

    media_type: str = Field("", alias="mediaType")
    manifests: list[Descriptor] = Field(max_length=4096)
    config: None = None
    layers: None = None


def _moment(value: object, read: ValidatorFunctionWrapHandler) -> datetime | None:
    """Builders that keep no time write nothing, Go's zero time or the epoch."""
    try:
        moment = read(value)
    except ValidationError:
        return None
    if not isinstance(moment, datetime) or moment.year <= 1970:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Container(BaseModel):
    """How an image wants to be run."""

    labels: dict[str, str] | None = Field(None, alias="Labels")
    ports: dict[str, object] | None = Field(None, alias="ExposedPorts")
    health: dict[str, object] | None = Field(None, alias="Healthcheck")


class Config(_Built):
    """What an image says about itself."""

    created: Annotated[datetime | None, WrapValidator(_moment)] = None
    config: _Container | None = None

    @property
    def labels(self) -> dict[str, str]:
        return (self.config and self.config.labels) or {}

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports of `EXPOSE`, the lowest first."""
        found = filter(None, map(_TCP.fullmatch, (self.config and self.config.ports) or {}))
        return tuple(sorted({number for each in found if 0 < (number := int(each[1])) < 65536}))

    @property
    def is_large(self) -> bool:
        """Whoever pushes an image may put megabytes into its labels and ports."""
        return sum(len(name) + len(text) for name, text in self.labels.items()) + 8 * len(self.ports) > _LARGE

    @property
    def has_healthcheck(self) -> bool:
        test = ((self.config and self.config.health) or {}).get("Test")
        return isinstance(test, list) and bool(test) and test[0] != "NONE"


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def read_manifest(body: bytes, content_type: str, name: str) -> Manifest | Index:
    """The document that `name` stands for. Raises `RegistryError` when it is no image that Docker can run."""
    document: Manifest | Index
    if content_type in INDEX_TYPES:
        document = _read(Index, body, name)
    elif content_type in MANIFEST_TYPES:
        document = _read(Manifest, body, name)
    else:
        raise RegistryError(
            f"{name} has a format that o8 does not know ({content_type!r:.80}).", "Push it with a newer tool."
        )
    if document.media_type not in ("", content_type):
        raise RegistryError(f"{name} is served as another kind of document than it is.", "Push it again.")
    if isinstance(document, Manifest) and document.config.media_type not in CONFIG_TYPES:
        raise RegistryError(
            f"{name} is no container image (its content is {document.config.media_type!r:.120}).",
            "Helm charts and other artifacts cannot be deployed; check the image name and the tag.",
        )
    return document


def read_config(body: bytes, name: str) -> Config:
    """Raises `RegistryError` when the image's configuration cannot be read."""
    return _read(Config, body, name)


def choose(index: Index, machine: Platform, name: str) -> Descriptor:
    """The manifest of `index` that fits `machine` best; attestations (`unknown/unknown`) never do.

    Raises `WrongPlatform`.
    """
    built: dict[Platform, Descriptor] = {}
    for entry in index.manifests:
        built.setdefault(entry.platform.built_for, entry)
    for platform in machine.runnable():
        if platform in built:
            return built[platform]
    raise wrong_platform(built, machine, name)


def wrong_platform(built: Iterable[Platform], machine: Platform, name: str) -> WrongPlatform:
    """The error that names what the image has and what this machine is."""
    names = [str(platform) for platform in built if platform.os and platform.os != "unknown"]
    return WrongPlatform(
        f"{name} is built for {', '.join(names) or 'no platform it names'}, but this machine is {machine}.",
        f"Build it with `docker buildx build --platform {machine}`.",
    )


def _read(kind: type[Document], body: bytes, name: str) -> Document:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "document"
        raise RegistryError(f"{name} has a damaged manifest ({where}).", "Push it again.") from None
