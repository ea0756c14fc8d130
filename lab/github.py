"""GitHub's side of the webhook: builds deliveries from recorded bodies, signs and sends them as GitHub does.

To add a kind of delivery: a body in tests/samples/github, or a function that changes one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp

SAMPLES = Path(__file__).parent.parent / "tests/samples/github"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds
TIMEOUT_S = 10.0
Body = dict[str, Any]


class Answer(NamedTuple):
    status: int
    body: Body


def sample(name: str) -> Body:
    """A recorded body, fresh each time, so that it may be changed."""
    body: Body = json.loads((SAMPLES / f"{name}.json").read_text())
    return body


def digest_of(text: str) -> str:
    """Some digest, always the same one for `text`."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def push(image: str = "ghcr.io/acme-labs/web", tag: str = "0005", digest: str = "", event: str = "package") -> Body:
    """The body of one push to `image` (registry/owner/name); `event` is `package` or `registry_package`."""
    _, owner, name = image.split("/", 2)
    body = sample("package_published")
    package = body["package"]
    package |= {"name": name, "namespace": owner, "owner": package["owner"] | {"login": owner}}
    _set_version(package["package_version"], image, tag, digest or digest_of(image + tag))
    body["organization"]["login"] = owner
    return body if event == "package" else as_registry_package(body)


def as_registry_package(body: Body) -> Body:
    """The same push as GitHub Apps get it."""
    return {("registry_package" if key == "package" else key): value for key, value in body.items()}


def multi_platform_push(image: str, tag: str, platforms: int = 3, event: str = "package") -> list[Body]:
    """Bodies of one push in GitHub's order: children with an empty tag first, then the index with the tag."""
    children = [push(image, "", digest_of(f"{image}{tag}{number}"), event) for number in range(platforms)]
    return [*children, push(image, tag, event=event)]


def helm_chart(image: str = "ghcr.io/acme-labs/chart", tag: str = "1.0.0") -> Body:
    """A chart: to GitHub a CONTAINER package like any other."""
    body = push(image, tag)
    config = body["package"]["package_version"]["container_metadata"]["manifest"]["config"]
    config["media_type"] = "application/vnd.cncf.helm.config.v1+json"
    return body


def sign(secret: str | bytes, raw: bytes) -> str:
    """The header `X-Hub-Signature-256` over the raw bytes."""
    key = secret.encode() if isinstance(secret, str) else secret
    return "sha256=" + hmac.new(key, raw, hashlib.sha256).hexdigest()


def encode(body: Body | bytes, content_type: str = JSON) -> bytes:
    """The raw bytes of a delivery; bytes stay what they are."""
    if isinstance(body, bytes):
        return body
    text = json.dumps(body)
    return urlencode({"payload": text}).encode() if content_type == FORM else text.encode()


def headers(
    secret: str | bytes, raw: bytes, *, event: str = "package", delivery: str = "", content_type: str = JSON
) -> dict[str, str]:
    """What GitHub sends with `raw`. https://docs.github.com/en/webhooks/webhook-events-and-payloads"""
    return {
        "Accept": "*/*",
        "Content-Type": content_type,
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "321104258",
        "X-GitHub-Hook-Installation-Target-ID": "7",
        "X-GitHub-Hook-Installation-Target-Type": "organization",
        "X-Hub-Signature": "sha1=" + "0" * 40,  # of old; nobody may look at it
        "X-Hub-Signature-256": sign(secret, raw),
    }


async def deliver(
    url: str, secret: str | bytes, body: Body | bytes, *, event: str = "package", delivery: str = "",
    content_type: str = JSON, change: Mapping[str, str | None] | None = None,
) -> Answer:  # fmt: skip
    """Sends one delivery. `change` replaces headers; None removes one.

    Raises `TimeoutError` after GitHub's 10 seconds and `aiohttp.ClientError` when nobody answers.
    """
    raw = encode(body, content_type)
    sent = headers(secret, raw, event=event, delivery=delivery, content_type=content_type)
    sent = {name: value for name, value in {**sent, **(change or {})}.items() if value is not None}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=raw, headers=sent, skip_auto_headers=["Content-Type"]) as answer,
    ):
        return Answer(answer.status, await answer.json(content_type=None))


def _set_version(version: Body, image: str, tag: str, digest: str) -> None:
    container = version["container_metadata"]
    container["tag"] = {"name": tag, "digest": digest if tag else ""}
    container["manifest"] |= {"digest": digest, "uri": f"repositories/{image}/manifests/{digest}"}
    version |= {
        "version": digest, "name": digest,
        "package_url": f"{image}:{tag}", "installation_command": f"docker pull {image}:{tag}",
    }  # fmt: skip
