"""What a service of an image would be, by what the image says about itself. Pure.

Whoever can push an image writes its labels, so they decide little: each must pass the grammar of service files, and
there are none for volumes, environment, ports of the machine or rights. What is not obeyed is reported.
To add a label: a row in `LABELS`, and one in docs/github.md (a test holds both together).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from bot import tags
from bot.chat import service_name
from bot.configuration import Configuration, Follow, read
from bot.models import Model
from bot.problems import explain

GUESSED_PORT = 8080
PREFIX = "o8."
_MOST_REPORTED = 5  # labels that are not obeyed; an image may have thousands
_NUMBER = re.compile(r"[0-9]{1,5}")
_DECIMAL = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_COMMIT = re.compile(r"(sha-|)[0-9a-f]{7,40}")
_WHOLE = {"follow": "policy", "health": "path"}  # who gives this key of a section means the section
Values = dict[str, Any]


class Said(Protocol):
    """What an image says about itself; `ports` are those of EXPOSE, the lowest first."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def ports(self) -> tuple[int, ...]: ...

    @property
    def has_healthcheck(self) -> bool: ...


class Subject(NamedTuple):
    """Which image it is about; `tag` and `digest` are empty where they are not known."""

    image: str
    tag: str = ""
    digest: str = ""


class House(NamedTuple):
    """Where it would live: names of services there, host names with whose they are, and `BASE_DOMAIN`."""

    names: frozenset[str] = frozenset()
    hosts: Mapping[str, str] = {}
    base_domain: str = ""


class Offer(Model):
    """A service that could be installed. `notes`: where its values come from, a sentence each.

    `doubts` are why o8 does not install it without asking anybody; a person may.
    """

    image: str
    tag: str
    digest: str
    configuration: Configuration
    hosts: tuple[str, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...]


def offer(subject: Subject, said: Said | None, house: House, changes: Values | None = None) -> Offer:
    """What a service of `subject` would be, with `changes`, keys of a service file that somebody wants otherwise.

    `said` None: nothing is known of the image. Raises `InvalidInput` when `changes` are wrong.
    """
    draft, changes = _Draft(subject, house), changes or {}
    draft.name()
    if said is None:
        draft.note("port", f"Port {GUESSED_PORT} is a guess.", f"nothing is known of {subject.image}")
    else:
        draft.image(said)
    draft.follow()
    draft.labels(said.labels if said else {})
    configuration = read(_merged(draft.values, changes))
    hosts = configuration.domains or _implied(configuration.name, house)
    if not hosts and not configuration.host_port:
        draft.note("domains", "It has no domain: BASE_DOMAIN is not set.")
    return Offer(
        image=subject.image, tag=subject.tag, digest=subject.digest, configuration=configuration, hosts=hosts,
        notes=_about_others(draft.notes, changes), doubts=_about_others(draft.doubts, changes),
    )  # fmt: skip


def chosen(found: Iterable[str], pushed: str = "") -> str:
    """The tag to install where nobody has named one: the highest number, else version, else what was pushed.

    A push with several tags is announced by one of them, often not the release. Empty when there is no telling.
    """
    known = [*found, *([pushed] if pushed else [])]
    best = tags.newest(Follow(), known) or tags.newest(Follow(policy="semver"), known) or pushed
    return best or (known[0] if len(known) == 1 else "")


def policy_for(tag: str) -> Values:
    """The policy under which a service that begins with `tag` gets what is pushed next; empty: the default."""
    if not tag or tags.follows(Follow(), tag):
        return {}
    if tags.follows(Follow(policy="semver"), tag.partition("-")[0]):
        return {"policy": "semver"}
    if found := _COMMIT.fullmatch(tag):
        return {"policy": "regex", "pattern": f"{found[1]}[0-9a-f]{{7,40}}"}
    return {"policy": "tag", "tag": tag}


def names_for(image: str) -> Iterator[str]:
    """What a service of `image` may be called, the best first: `web`, `shop-web`, `acme-shop-web`, `web-2`, ..."""
    parts = image.split("/")[1:] or [image]
    for begin in dict.fromkeys((len(parts) - 1, min(1, len(parts) - 1), 0)):
        yield service_name("-".join(parts[begin:]))
    last = service_name(parts[-1])[:60].strip("-")
    yield from (f"{last}-{number}" for number in range(2, 100))


class _Draft:
    """A service file as it is being made, with the key that each remark is about."""

    def __init__(self, subject: Subject, house: House) -> None:
        self._subject = subject
        self._house = house
        self.values: Values = {"name": "", "image": subject.image, "port": GUESSED_PORT}
        self.notes: list[tuple[str, str]] = []
        self.doubts: list[tuple[str, str]] = []

    def note(self, key: str, text: str, doubt: str = "") -> None:
        self.notes.append((key, text))
        if doubt:
            self.doubts.append((key, doubt))

    def name(self) -> None:
        wanted, *others = names_for(self._subject.image)
        why = self._taken(wanted)
        self.values["name"] = wanted if not why else next((n for n in others if not self._taken(n)), wanted)
        if why:
            self.note("name", f"It is called {self.values['name']}, as {why}.", why)

    def image(self, said: Said) -> None:
        """What a Dockerfile says without knowing o8."""
        if said.ports:
            self.values["port"] = said.ports[0]
            among = f", the lowest of {', '.join(map(str, said.ports[:8]))}" if len(said.ports) > 1 else ""
            self.note("port", f"Port {said.ports[0]} by EXPOSE{among}.")
        else:
            doubt = "the image names no port (EXPOSE, or the label o8.port)"
            self.note("port", f"Port {GUESSED_PORT} is a guess: {doubt}.", doubt)
        if said.has_healthcheck:
            self.values["health"] = {"kind": "image"}
            self.note("health", "It is healthy when the image's HEALTHCHECK says so.")

    def follow(self) -> None:
        if found := policy_for(self._subject.tag):
            self.values["follow"] = found
            self.note("follow", f"It follows {_in_words(found)}, as it begins with {self._subject.tag}.")

    def labels(self, given: Mapping[str, str]) -> None:
        ours = {name: text for name, text in sorted(given.items()) if name.startswith(PREFIX)}
        for name in (one for one in LABELS if one in ours):
            self._obey(name, ours[name])
        unknown = [name for name in ours if name not in LABELS]
        for name in unknown[:_MOST_REPORTED]:
            self.note("labels", f"Label {name!a:.60} is none that o8 knows; it is not obeyed.")
        if len(unknown) > _MOST_REPORTED:
            self.note("labels", f"Nor are {len(unknown) - _MOST_REPORTED} other labels.")

    def _obey(self, name: str, text: str) -> None:
        """One label, if it may be obeyed together with those before it."""
        label = LABELS[name]
        try:
            wanted = label.read(text, self._subject.tag)
            changed = _merged(self.values, wanted)
            Configuration.model_validate(changed)
        except ValidationError as error:
            self._refuse(name, text, explain(error)[0].text)
        except ValueError as error:
            self._refuse(name, text, str(error))
        else:
            if why := self._why_not_there(wanted.get("domains", ())):
                self._refuse(name, text, why)
                return
            self.values = changed
            self.notes = [one for one in self.notes if one[0] != label.key]
            self.doubts = [one for one in self.doubts if one[0] != label.key]
            outside = [host for host in wanted.get("domains", ()) if not self._is_below(host)]
            doubt = f"{outside[0]}, wanted by its label o8.domain, is not below BASE_DOMAIN" if outside else ""
            self.note(label.key, f"{label.what} {text:.100} by its label {name}.", doubt)

    def _refuse(self, name: str, text: str, why: str) -> None:
        said = f"label {name} = {text!a:.60} is not obeyed: {why:.200}"
        self.note("labels", f"{said[0].upper()}{said[1:]}.", said)

    def _taken(self, name: str) -> str:
        """Why a service here cannot be called `name`, or be reached by it."""
        if name in self._house.names:
            return f"there is a service {name} already"
        return next((f"{host} belongs to {self._house.hosts[host]}" for host in _implied(name, self._house)
                     if host in self._house.hosts), "")  # fmt: skip

    def _why_not_there(self, hosts: Iterable[str]) -> str:
        return next((f"{host} belongs to {self._house.hosts[host]}" for host in hosts if host in self._house.hosts), "")

    def _is_below(self, host: str) -> bool:
        return bool(self._house.base_domain) and host.endswith(f".{self._house.base_domain}")


class _Label(NamedTuple):
    """`key` of the service file that it decides; `read` makes values of its text, or raises `ValueError`."""

    key: str
    what: str
    read: Callable[[str, str], Values]


def _whole(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not text.isascii():
        raise ValueError("expected a whole number")
    return int(text)


def _decimal(text: str) -> float:
    if not _DECIMAL.fullmatch(text) or not text.isascii():
        raise ValueError("expected a number such as 0.5")
    return float(text)


def _domains(text: str) -> list[str]:
    found = [part.strip() for part in text.split(",")]
    if any(part.startswith("*") for part in found):
        raise ValueError("an image cannot ask for all names of a domain")
    return found


def _policy(text: str, tag: str) -> Values:
    if text not in ("numeric", "semver", "tag"):
        raise ValueError("expected numeric, semver or tag")
    if text == "tag" and not tag:
        raise ValueError("it is not known which tag")
    return {"policy": text} | ({"tag": tag} if text == "tag" else {})


LABELS: dict[str, _Label] = {
    "o8.port": _Label("port", "Port", lambda text, _: {"port": _whole(text)}),
    "o8.health": _Label("health", "Health is asked at", lambda text, _: {"health": {"kind": "http", "path": text}}),
    "o8.domain": _Label("domains", "Domain", lambda text, _: {"domains": _domains(text)}),
    "o8.replicas": _Label("replicas", "Replicas:", lambda text, _: {"replicas": _whole(text)}),
    "o8.memory": _Label("limits.memory", "Memory", lambda text, _: {"limits": {"memory": text}}),
    "o8.cpus": _Label("limits.cpus", "CPUs:", lambda text, _: {"limits": {"cpus": _decimal(text)}}),
    "o8.strategy": _Label("strategy", "Strategy", lambda text, _: {"strategy": text}),
    "o8.follow": _Label("follow", "Policy", lambda text, tag: {"follow": _policy(text, tag)}),
}


def _merged(values: Values, changes: Values) -> Values:
    """`values` with `changes`, section by section. Another policy, or a path for health, replaces the section."""
    found = dict(values)
    for key, value in changes.items():
        before = found.get(key)
        is_part = isinstance(value, dict) and isinstance(before, dict) and _WHOLE.get(key) not in value
        found[key] = before | value if is_part else value
    return found


def _about_others(remarks: Iterable[tuple[str, str]], changes: Values) -> tuple[str, ...]:
    """Those that are about no key that somebody has decided."""
    return tuple(text for key, text in remarks if key.partition(".")[0] not in changes)


def _implied(name: str, house: House) -> tuple[str, ...]:
    return (f"{name}.{house.base_domain}",) if house.base_domain else ()


def _in_words(follow: Values) -> str:
    if follow["policy"] == "tag":
        return f"the tag {follow['tag']}"
    return {"semver": "versions", "regex": "tags that name commits"}[follow["policy"]]
