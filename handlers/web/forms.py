"""A form for every key of a service file, made from the model, and the way back. Pure."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bot.configuration import Configuration, Volume

_ANY = Configuration(name="x", image="example.org/x", port=1)  # for the keys alone
_FIXED = ("name",)  # a service keeps it
_AS_TYPED = ("follow.pattern", "follow.range")  # a space at their ends means something
_HOW = {
    "volumes": "One per line: `NAME:/path`, with `:exclusive` behind it where needed.",
    "command": "One argument per line; in quotes, as JSON has them, where it is empty or spans lines.",
}
_LABELS = {
    "cpus": "CPUs", "pids": "Processes", "tls": "TLS", "hsts": "HSTS", "http2": "HTTP/2",
    "redirect_to_https": "Redirect to HTTPS", "max_body_size": "Largest body", "within": "Healthy within",
}  # fmt: skip


class Field(NamedTuple):
    """One input. `key` is its path, such as `limits.memory`; `value` as text, `checked` of a box."""

    key: str
    label: str
    kind: Literal["text", "number", "choice", "box", "lines"]
    hint: str
    value: str = ""
    checked: bool = False
    choices: tuple[str, ...] = ()


class Section(NamedTuple):
    title: str
    fields: tuple[Field, ...]


def sections(found: Configuration) -> tuple[Section, ...]:
    """All keys but the name, grouped as service files group them."""
    own, groups = [], []
    for name, info in Configuration.model_fields.items():
        value = getattr(found, name)
        if name in _FIXED:
            continue
        if isinstance(value, BaseModel):
            groups.append(Section(name, tuple(_fields(value, f"{name}."))))
        else:
            own.append(_field(name, name, info, value))
    return (Section("service", tuple(own)), *groups)


def values(sent: dict[str, str], name: str) -> dict[str, Any]:
    """What was sent, as `bot.configuration.read` takes it; keys without an input keep their default."""
    found: dict[str, Any] = {"name": name}
    for section in sections(_ANY):
        for field in section.fields:
            group, _, key = field.key.rpartition(".")
            place = found.setdefault(group, {}) if group else found
            text = sent.get(field.key, "")
            if field.kind == "box":
                place[key] = field.key in sent
            elif field.key == "volumes":
                place[key] = [_volume(line) for line in _lines(text)]
            elif field.key == "command":
                place[key] = [_argument(line) for line in _lines(text)]
            elif field.kind == "lines":
                place[key] = _lines(text)
            elif text.strip() or field.kind == "text":
                place[key] = text if field.key in _AS_TYPED else text.strip()
    return found


def as_sent(sent: dict[str, str]) -> tuple[Section, ...]:
    """The form with what was typed into it."""

    def typed(field: Field) -> Field:
        return field._replace(value=sent.get(field.key, ""), checked=field.key in sent)

    return tuple(section._replace(fields=tuple(map(typed, section.fields))) for section in sections(_ANY))


def _fields(section: BaseModel, prefix: str) -> Iterator[Field]:
    for name, info in type(section).model_fields.items():
        yield _field(name, prefix + name, info, getattr(section, name))


def _field(name: str, key: str, info: FieldInfo, value: Any) -> Field:
    label, hint = _LABELS.get(name) or name.replace("_", " ").capitalize(), _sentence(info.description or "")
    if isinstance(value, bool):
        return Field(key, label, "box", hint, checked=value)
    if isinstance(value, tuple):
        hint = f"{hint} {_HOW.get(key, 'One per line.')}"
        return Field(key, label, "lines", hint, "\n".join(_line(key, each) for each in value))
    if choices := _choices(info.annotation):
        return Field(key, label, "choice", hint, str(value), choices=choices)
    if isinstance(value, int | float):
        return Field(key, label, "number", hint, str(value).removesuffix(".0"))
    return Field(key, label, "text", hint, str(value))


def _choices(annotation: Any) -> tuple[str, ...]:
    """Of a `Literal`; a type with other ways is none."""
    if get_origin(annotation) in (Union, types.UnionType):
        return ()
    return tuple(get_args(annotation)) if get_origin(annotation) is Literal else ()


def _line(key: str, each: Any) -> str:
    if isinstance(each, Volume):
        return _written(each)
    is_plain = each and each.strip() == each and len(each.splitlines()) == 1 and not each.startswith('"')
    return str(each) if is_plain or key != "command" else json.dumps(each)


def _argument(line: str) -> str:
    """Of a command: what is in quotes, else the line."""
    with suppress(ValueError):
        if line.startswith('"') and isinstance(found := json.loads(line), str):
            return found
    return line


def _written(volume: Volume) -> str:
    return f"{volume.name}:{volume.path}{':exclusive' if volume.exclusive else ''}"


def _volume(line: str) -> dict[str, Any]:
    name, _, rest = line.partition(":")
    path, _, flag = rest.partition(":")
    found = {"name": name, "path": path, "exclusive": flag == "exclusive"}
    return found | ({flag: True} if flag not in ("", "exclusive") else {})  # an unknown key is refused by its name


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
