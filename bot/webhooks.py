"""Verifies and reads GitHub's deliveries. Pure. Lenient in what is read, strict in what comes out of it.

To add an event: a reader, one row in `EVENTS`, a sample in tests/samples/github.
Nothing is checked against GitHub's published schema: real bodies fail it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import parse_qs

import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bot.configuration import ImageName, Tag
from bot.errors import InvalidInput

PATH = "/webhooks/github"
FORM = "application/x-www-form-urlencoded"
ACTIONS = frozenset({"published", "updated", "create"})  # `create` is what old bodies say
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[A-Za-z0-9-]{1,39}/(?=\.*[A-Za-z0-9_-])[A-Za-z0-9._-]{1,100}")
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?")
_URL = re.compile(r"https://[A-Za-z0-9._~:/?#@!$&*+,;=%-]{1,500}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_KIND = re.compile(r"[a-z0-9_-]{1,30}")
_CONTAINERS = frozenset({"container", "docker"})
# https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md, and the fallback tags of
# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
_SIGNATURE = re.compile(r"sha256-[0-9a-f]+(\.[a-z]+)?")
_NOT_IMAGES = {  # how the manifest's config type begins: what that is
    "application/vnd.cncf.helm": "Helm chart",
    "application/vnd.oci.empty": "artifact without an image",
}


class PackageEvent(BaseModel):
    """A container image was pushed. `image` and `tag` are always sane; all else is empty when it was not.

    `owner` is spelled as GitHub does; `pusher` is a login; `url` is the page of the pushed version.
    """

    model_config = ConfigDict(frozen=True)

    image: ImageName
    tag: Tag
    digest: Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    commit: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40})?$")] = ""
    repository: str = ""  # that the package is linked to, such as `acme/web`; by no means the image's name
    owner: str = ""
    pusher: str = ""
    url: str = ""


class Ignored(NamedTuple):
    """A genuine delivery that o8 has no use for; `reason` is a phrase for people, safe to show."""

    reason: str


class Verdict(NamedTuple):
    """What came of a delivery: names of services that look at it, and reasons why others do not."""

    kind: Literal["accepted", "ignored", "duplicate"]
    accepted: tuple[str, ...]
    ignored: tuple[str, ...]


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
def is_genuine(secrets: Sequence[bytes], body: bytes, signature: str | None) -> bool:
    """Whether `signature` (`X-Hub-Signature-256`) was made over the raw `body` with one of `secrets`."""
    # Bytes, because `compare_digest` raises on text that is not ASCII. An empty secret is known to everybody.
    given = (signature or "").encode("ascii", "replace")
    made = [b"sha256=" + hmac.new(s, body, hashlib.sha256).hexdigest().encode() for s in secrets if s]
    fits = [hmac.compare_digest(each, given) for each in made]  # all: the time does not tell which one
    return any(fits)


def read(event: str, content_type: str, body: bytes, registry: str) -> PackageEvent | Ignored:
    """What a genuine delivery says. `registry` is the host that images of these packages are pulled from.

    Raises `InvalidInput` when the body is not a JSON object in UTF-8, plain or as field `payload` of a form.
    """
    payload = _payload(content_type, body)
    reader = EVENTS.get(event)
    return reader(payload, registry) if reader else Ignored(f"nothing to do for event {event!a:.60}")


# https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks (content type)
def _payload(content_type: str, body: bytes) -> dict[str, Any]:
    if content_type.partition(";")[0].strip().lower() == FORM:
        body = _form_field(body, "payload")
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The delivery is not JSON in UTF-8: {error!s:.120}.") from None
    if not isinstance(payload, dict):
        raise InvalidInput("The delivery is JSON, but not an object.")
    return payload


def _form_field(body: bytes, name: str) -> bytes:
    try:
        fields = parse_qs(body.decode(), errors="strict", max_num_fields=100)
    except ValueError:  # not UTF-8, or more fields than anybody sends
        raise InvalidInput("The delivery is not a form in UTF-8.") from None
    if name not in fields:
        raise InvalidInput(f"The delivery is a form without the field `{name}`.")
    return fields[name][0].encode()


# https://docs.github.com/en/webhooks/webhook-events-and-payloads#ping
def _ping(payload: dict[str, Any], registry: str) -> Ignored:
    return Ignored("ping")


# https://docs.github.com/en/webhooks/webhook-events-and-payloads#package
# https://docs.github.com/en/webhooks/webhook-events-and-payloads#registry_package (all that GitHub Apps get)
def _package(payload: dict[str, Any], registry: str) -> PackageEvent | Ignored:
    action = _text(payload, "action")
    if action not in ACTIONS:
        return Ignored(f"nothing to do for action {action!a:.60}")
    package = payload.get("package") or payload.get("registry_package")
    version = _at(package, "package_version")
    tag = _text(version, "container_metadata", "tag", "name")
    if reason := _not_a_container(package, tag) or _not_an_image(version) or _not_a_release(tag):
        return Ignored(reason)
    return _event(payload, package, version, tag, registry)


def _event(payload: dict[str, Any], package: Any, version: Any, tag: str, registry: str) -> PackageEvent | Ignored:
    owner, name = _owner(payload, package), _text(package, "name")
    try:
        return PackageEvent(
            image=f"{registry}/{owner}/{name}".lower(),  # references must be lower case, owners need not
            tag=tag,
            digest=_digest(version),
            commit=_first(_COMMIT, _text(version, "target_oid"), _text(version, "target_commitish")),
            repository=_first(_REPOSITORY, _text(payload, "repository", "full_name")),
            owner=owner,
            pusher=_first(_LOGIN, _text(payload, "sender", "login")),
            url=_first(_URL, _text(version, "html_url"), _text(package, "html_url")),
        )
    except ValidationError:
        return Ignored(f"no image can be named {f'{owner}/{name}'!a:.120}")


def _owner(payload: dict[str, Any], package: Any) -> str:
    """Each of these was seen missing; `repository.full_name` is never right, a package's name is its own."""
    return (
        _text(package, "namespace") or _text(package, "owner", "login")
        or _text(payload, "organization", "login") or _text(payload, "repository", "owner", "login")
    )  # fmt: skip


def _digest(version: Any) -> str:
    """Only a hint: some bodies hold 40 digits behind `sha256:`, so tags are resolved at the registry."""
    container = _at(version, "container_metadata")
    return _first(
        _DIGEST,
        _text(container, "tag", "digest"), _text(container, "manifest", "digest"),
        _text(version, "version"), _text(version, "name"),
    )  # fmt: skip


def _not_a_container(package: Any, tag: str) -> str:
    """Two fields name the kind, in any case; GitHub's published example says npm and docker at once."""
    if not isinstance(package, dict):
        return "no package in it"
    kinds = {_text(package, field).lower() for field in ("package_type", "ecosystem")} - {""}
    others = sorted(kinds - _CONTAINERS)
    is_clear = bool(kinds) and not others
    is_unclear = not kinds or len(others) < len(kinds)
    if is_clear or (is_unclear and tag):
        return ""
    return f"{others[0]} package" if others and _KIND.fullmatch(others[0]) else "package of an unknown kind"


def _not_an_image(version: Any) -> str:
    """Helm charts and other artifacts are CONTAINER packages too; the type of the manifest's config tells."""
    if not isinstance(version, dict):
        return "no package version in it"
    for manifest in (_at(version, "container_metadata", "manifest"), _at(version, "manifest")):
        kind = _text(manifest, "config", "media_type").lower()
        for start, what in _NOT_IMAGES.items():
            if kind.startswith(start):
                return what
    return ""


def is_signature(tag: str) -> bool:
    """Whether a tag names a signature or an attestation of an image, and no image."""
    return bool(_SIGNATURE.fullmatch(tag))


def _not_a_release(tag: str) -> str:
    """An empty tag is never read as `latest`: children of a multi-platform push come with one."""
    if not tag:
        return "no tag: one of the manifests of a multi-platform push"
    if is_signature(tag):
        return "signature or attestation of an image"
    return "" if _TAG.fullmatch(tag) else f"{tag!a:.80} is not a tag"


def _at(value: Any, *path: str) -> Any:
    """What lies at `path`, None where any part of it is missing or of another kind."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any, *path: str) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""


def _first(grammar: re.Pattern[str], *candidates: str) -> str:
    return next((each for each in candidates if grammar.fullmatch(each)), "")


EVENTS: dict[str, Callable[[dict[str, Any], str], PackageEvent | Ignored]] = {
    "ping": _ping,
    "package": _package,
    "registry_package": _package,
}
