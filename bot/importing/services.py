"""One service of the original as a service file of o8. To understand one more key: a row in `_KEYS` and a reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from bot.configuration import Configuration, Domain, HostPort, ImageName, Port, Tag, read
from bot.errors import InvalidInput
from bot.importing import OldService

HUB = "registry-1.docker.io"  # what Docker means by an image that names no registry
NO_LIMIT = "10g"
_NAME = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-z]*)")
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_MOST = 1024**5
_LEAST_MEMORY = 6 * 1024**2  # Docker refuses less, so a smaller number cannot be bytes
_NANO = 1_000_000  # Docker's NanoCpus: more than any machine has processors
_DOMAIN: TypeAdapter[str] = TypeAdapter(Domain)
_HOST_PORT: TypeAdapter[str] = TypeAdapter(HostPort)
_PORT: TypeAdapter[int] = TypeAdapter(Port)
_IMAGE: TypeAdapter[str] = TypeAdapter(ImageName)
_TAG: TypeAdapter[str] = TypeAdapter(Tag)


class Image(NamedTuple):
    """`tag` is empty when only a digest is named."""

    name: str
    tag: str


class Found(NamedTuple):
    """`host_port`: what the original published, and `configuration` does not say (yet)."""

    configuration: Configuration
    tag: str
    host_port: str
    warnings: tuple[str, ...]


def name_of(original: str) -> str:
    """What o8 calls a service of the original: lower case, `-` for everything else; empty when nothing is left."""
    return _NAME.sub("-", original.lower()).strip("-")[:63].strip("-")


def image_of(reference: str) -> Image | None:
    """An image as Docker understands it: without registry it is Docker Hub's, without tag and digest `latest`.

    None for what is no image's name, such as the id of one.
    """
    rest, has_digest, _ = reference.strip().partition("@")
    folder, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{folder}{slash}{last}".lower()
    host, slash, path = name.partition("/")
    if not slash or not (set(host) & {".", ":"} or host == "localhost"):
        host, path = "docker.io", name
    if host in ("docker.io", "index.docker.io"):
        host, path = HUB, path if "/" in path else f"library/{path}"
    tag = tag or ("" if has_digest else "latest")
    is_id = reference.startswith("sha256:")
    is_sound = _fits(_IMAGE, f"{host}/{path}") and (not tag or _fits(_TAG, tag))
    return Image(f"{host}/{path}", tag) if is_sound and not is_id else None


def read_service(old: OldService, running: str | None) -> Found:
    """The service file of `old`; `running` is the image of the original's container of that name, if there is one.

    Nothing deploys by itself, a candidate only has to open its port, and a port that the old container still holds is
    left for later. Raises `InvalidInput` when port or image cannot be known.
    """
    if old.trouble:
        raise InvalidInput(old.trouble)
    warnings = list(old.notes)
    values: dict[str, Any] = {"name": name_of(old.name), "limits": {}, "site": {}, "health": {"kind": "tcp"}}
    config = _config(old, warnings)
    for key, apply in _KEYS.items():
        if key in config:
            apply(values, config[key], warnings)
        elif key in _WITHOUT:
            warnings.append(_WITHOUT[key])
    if "port" not in values:
        raise InvalidInput(
            f"The port inside the container is not known: config.json says {_shown(config.get('containerport'))}.",
            'Write it there as `containerPort`, such as "3000".',
        )
    image = _image(old.name, config.get("image"), running, warnings)
    values["image"] = image.name
    values["follow"] = _follow(image, warnings) | {"auto_deploy": "off"}
    host_port = values.pop("host_port", "")
    if host_port and not values.get("domains") and running is None:
        values["host_port"], host_port = host_port, ""
    elif host_port and values.get("domains"):
        warnings.append(f"host port {host_port} is not taken over: nginx reaches the container by itself")
        host_port = ""
    return Found(read(values), image.tag, host_port, tuple(warnings))


def _config(old: OldService, warnings: list[str]) -> dict[str, Any]:
    """Known keys, however they are spelled: `hostPort`, `host_port`, `HostPort`."""
    if old.config is None:
        warnings.append("there is no config.json")
    found: dict[str, Any] = {}
    for key, value in (old.config or {}).items():
        plain = re.sub(r"[^a-z0-9]", "", key.lower())
        plain = _OTHER_WORDS.get(plain, plain)
        if plain in _KEYS or plain == "image":
            found[plain] = value
        elif value not in (None, "", [], {}) and not (plain in ("name", "service") and value == old.name):
            warnings.append(f"config.json: {key!r:.80} is not taken over")  # never its value: who knows what it is
    return found


def _image(name: str, written: Any, running: str | None, warnings: list[str]) -> Image:
    of_config = image_of(written) if isinstance(written, str) and written.strip() else None
    image = image_of(running) if running else None
    if running and image is None:
        warnings.append(f"the container {name} was made of {running!r:.80}, which names no image")
    if running is None:
        warnings.append(f"there is no container {name}")
    elif image and of_config and image != of_config:
        warnings.append(f"config.json names {written!r:.140}; what its container runs is taken: {running:.140}")
    found = image or of_config
    if found is None:
        raise InvalidInput(
            f"Which image it runs is not known: config.json says {_shown(written)}, and no container {name} more.",
            "Start the original's container, or write `image` into config.json.",
        )
    if found.name.startswith(HUB):
        warnings.append(f"the image is Docker Hub's, so it is called {found.name} here")
    return found


def _follow(image: Image, warnings: list[str]) -> dict[str, str]:
    if image.tag.isascii() and image.tag.isdigit():
        return {"policy": "numeric"}
    if image.tag:
        return {"policy": "tag", "tag": image.tag}
    warnings.append('it runs a digest without a tag; its policy is "numeric" until you say otherwise')
    return {"policy": "numeric"}


# -- one reader for each key: writes into the service file's values, or says what it did not understand

Reader = Callable[[dict[str, Any], Any, list[str]], None]


def _container_port(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    text = _text(value).lower().removesuffix("/tcp")
    if text.isascii() and text.isdigit() and len(text) <= 5 and _fits(_PORT, int(text)):
        values["port"] = int(text)


def _host_port(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    text = _text(value).lower().removesuffix("/tcp")
    if not text:
        return
    if _fits(_HOST_PORT, text):
        values["host_port"] = text
    else:
        warnings.append(_not_understood("hostPort", value))


def _domain(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    written = value if isinstance(value, list) else re.split(r"[\s,]+", _text(value))
    found: list[str] = []
    for each in written:
        name = re.sub(r"^https?://", "", _text(each).lower()).rstrip("/.")
        if name and _fits(_DOMAIN, name) and len(found) < 32:
            found += [name] if name not in found else []
        elif name or not isinstance(each, str):
            warnings.append(_not_understood("domain", each))
    if isinstance(value, dict):
        warnings.append(_not_understood("domain", value))
    values["domains"] = found


def _memory(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    size = _bytes(value)
    if size == 0:
        warnings.append(_WITHOUT["memorylimit"])
    elif size is None or size < _LEAST_MEMORY:
        warnings.append(f"{_not_understood('memoryLimit', value)}; here it is 512m")
    else:
        values["limits"]["memory"] = _size(size)


def _cpu(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    found = _NUMBER.fullmatch(_text(value).lower())
    number = float(found[1]) if found and found[2] in ("", "cpu", "cpus", "m") else -1.0
    if found and found[2] == "m":
        number /= 1000  # thousandths, as Kubernetes writes them
    number = number / 1e9 if number >= _NANO else number
    if number == 0 or not _text(value):
        warnings.append(_WITHOUT["cpulimit"])
    elif 0.01 <= number <= 1024:
        values["limits"]["cpus"] = number
    else:
        warnings.append(f"{_not_understood('cpuLimit', value)}; here it is 1 processor")


def _max_body_size(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    size = _bytes(value)
    if size is None:
        warnings.append(f"{_not_understood('clientMaxBodySize', value)}; here it is 10m")
    elif size == 0 and _text(value):  # as nginx means it
        values["site"]["max_body_size"] = NO_LIMIT
        warnings.append(f"clientMaxBodySize was without limit; here it is {NO_LIMIT}")
    elif size:
        values["site"]["max_body_size"] = _size(size)


def _restart(values: dict[str, Any], value: Any, warnings: list[str]) -> None:
    if isinstance(value, dict):  # as Docker's API writes it
        value = next((v for k, v in value.items() if k.lower() == "name"), value)
    word, _, count = _text(value).lower().partition(":")
    if word in ("no", "on-failure", "always", "unless-stopped"):
        values["restart"] = word
        if count:
            warnings.append(f"restartPolicy: {word} without an end, not {count:.20} times")
    elif _text(value) or isinstance(value, dict | list):
        warnings.append(f"{_not_understood('restartPolicy', value)}; here it is unless-stopped")


_KEYS: dict[str, Reader] = {
    "containerport": _container_port, "hostport": _host_port, "domain": _domain, "memorylimit": _memory,
    "cpulimit": _cpu, "clientmaxbodysize": _max_body_size, "restartpolicy": _restart,
}  # fmt: skip
_OTHER_WORDS = {
    "domains": "domain", "memory": "memorylimit", "cpu": "cpulimit", "cpus": "cpulimit", "restart": "restartpolicy",
    "maxbodysize": "clientmaxbodysize",
}  # fmt: skip
_WITHOUT = {
    "memorylimit": "the original set no limit for its memory; here it is 512m",
    "cpulimit": "the original set no limit for its processors; here it is 1",
}


def _bytes(value: Any) -> int | None:
    """Bytes of `512m`, `512 MB`, `0.5GiB`, 536870912; 0 for none; None when it is no size."""
    text = _text(value).lower()
    if isinstance(value, dict | list | bool):
        return None
    if not text or text in ("none", "unlimited"):
        return 0
    found = _NUMBER.fullmatch(text)
    unit = re.sub(r"(?<=[kmg])(i?b|i)$", "", found[2]) if found else ""
    if not found or unit not in _UNITS:
        return None
    size = int(float(found[1]) * _UNITS[unit])
    return size if size <= _MOST else None


def _size(count: int) -> str:
    """The shortest way to write it, such as `512m`; nine digits at most, so rounded up to megabytes if need be."""
    for unit in ("g", "m", "k"):
        if count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    return str(count) if count < 10**9 else f"{count // 1024**2 + 1}m"


def _text(value: Any) -> str:
    """Of text and numbers; everything else says nothing."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "names with values"
    return "nothing" if value in (None, "") else f"{value!r:.80}"


def _not_understood(key: str, value: Any) -> str:
    return f"config.json: {key} = {_shown(value)} is not understood"


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
