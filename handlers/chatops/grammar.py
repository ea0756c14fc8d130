"""What people type, understood: `deploy web 0005 --dry-run -- why`. The usage of each verb is its grammar. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from bot.errors import InvalidInput
from handlers.chatops import words
from handlers.chatops.registry import VERBS, Verb

LONGEST = 3000  # characters; Slack sends at most 8,000 in a command
EMPTY = "services"  # what `/o8` alone means
ALIASES = {"ps": "status", "ls": "services", "list": "services", "log": "logs", "undo": "rollback", "info": "status"}


class Misunderstood(InvalidInput):
    """`suggestions` are whole commands that may have been meant; they are offered, never run by themselves."""

    code = "misunderstood"

    def __init__(self, message: str, next_step: str = "", suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message, next_step)
        self.suggestions = suggestions


class Asked(NamedTuple):
    """A command as understood: `values` go to the verb by name. What was not said is not in it."""

    verb: Verb
    values: dict[str, Any]


def parse(text: str, verbs: Mapping[str, Verb] = VERBS) -> Asked:
    """Raises `Misunderstood`, and nothing else, for every text that is not a command."""
    if len(text) > LONGEST:
        raise Misunderstood(f"A command has at most {LONGEST} characters.", "Long texts belong into a form or a file.")
    line, dashes, reason = words.at_reason(words.plain(text))
    try:
        verb, rest = _verb(words.without_prefix(words.split(line)), verbs)
    except Misunderstood as error:
        error.suggestions = _sensible(error.suggestions, words.escaped(dashes + reason.rstrip()), verbs)
        raise
    values = _Reading(verb, rest).values()
    grammar = _grammar(verb.usage)
    if grammar.reason and (dashes and reason.strip()):
        values["reason"] = " ".join(reason.split())
    elif dashes and not grammar.reason:
        raise _wrong(verb, "It takes no reason after `--`.")
    elif grammar.reason == "required":
        raise _wrong(verb, "It needs a reason after `--`.")
    return Asked(verb, values)


def completed(text: str, service: str, verbs: Mapping[str, Verb] = VERBS) -> str:
    """`text`, or the same with the `service` that a conversation is about where it names none (`logs -n 5`)."""
    try:
        asked = parse(text, verbs)
        named = service_of(asked)
        # `deploy 0005` names a release: a service would hardly be called so
        if "SVC" not in asked.verb.usage or (named and not (named.isdigit() and "RELEASE" in asked.verb.usage)):
            return text
    except Misunderstood:
        pass
    line, dashes, reason = words.at_reason(words.plain(text))
    try:
        verb, rest = _verb(words.without_prefix(words.split(line)), verbs)
    except Misunderstood:
        return text
    if "SVC" not in verb.usage:
        return text
    return " ".join([verb.name, service, *map(_said, rest)]) + words.escaped(f"{dashes}{reason}".rstrip())


def service_of(asked: Asked) -> str:
    """The service that a command is about; empty when it names none."""
    return str(asked.values.get("svc", ""))


def canonical(asked: Asked) -> str:
    """A text that `parse` understands as the same command."""
    grammar, values = _grammar(asked.verb.usage), dict(asked.values)
    reason = values.pop("reason", "")
    said = [asked.verb.name]
    for place in grammar.places:
        if place.key == "pairs":
            said += [_said(f"{key}={value}") for key, value in values.get("pairs", {}).items()]
        elif place.key in values:
            said.append(_said(values[place.key]))
    for option in grammar.options.values():
        if option.key in values:
            said += [option.flag] if option.kind is None else [option.flag, _said(values[option.key])]
    return " ".join(said) + (f" -- {words.escaped(reason)}" if reason else "")


# -- the grammar of a usage


class _Place(NamedTuple):
    key: str
    kind: str
    is_required: bool


class _Option(NamedTuple):
    flag: str
    key: str
    kind: str | None  # None: a flag without a value


class _Grammar(NamedTuple):
    places: tuple[_Place, ...]
    options: dict[str, _Option]
    reason: str  # "", "optional", "required"


_PART = re.compile(r"\[[^\]]*\]|\S+(?: REASON)?")


@lru_cache(maxsize=256)
def _grammar(usage: str) -> _Grammar:
    places: list[_Place] = []
    options: dict[str, _Option] = {}
    reason = ""
    for part in _PART.findall(usage):
        is_required = not part.startswith("[")
        inner = part.strip("[]").removesuffix("...")
        if "REASON" in inner:
            reason = "required" if is_required else "optional"
        elif inner.startswith("-"):
            flag, _, kind = inner.partition(" ")
            options[flag] = _Option(flag, _key(flag), kind or None)
        elif inner == "KEY=VALUE":
            places.append(_Place("pairs", "KEY=VALUE", is_required))
        elif inner.isupper() or inner.rstrip("0123456789").isupper():
            places.append(_Place(inner.lower(), inner.rstrip("0123456789"), is_required))
    return _Grammar(tuple(places), options, reason)


def _key(flag: str) -> str:
    name = flag.lstrip("-").replace("-", "_")
    return f"{name}_" if name in ("for",) else name


class _Reading:
    """Reads the words after a verb by its grammar."""

    def __init__(self, verb: Verb, given: list[str]) -> None:
        self._verb = verb
        self._grammar = _grammar(verb.usage)
        self._words = given
        self._values: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        free = list(self._options())
        for place in self._grammar.places:
            if place.key == "pairs":
                self._values["pairs"], free = _pairs(self._verb, free), []
            elif place.kind in ("TEXT", "TOPIC") and free:
                self._values[place.key], free = " ".join(free), []
            elif free:
                self._values[place.key] = self._read(place.kind, free.pop(0))
            elif place.is_required:
                raise _wrong(self._verb, f"{place.kind.replace('SVC', 'The service')} is missing.")
            if place.key == "pairs" and not self._values["pairs"]:
                raise _wrong(self._verb, "KEY=VALUE is missing.")
        if free:
            raise _wrong(self._verb, f"{free[0]!r:.80} is too much.")
        return self._values

    def _options(self) -> Iterator[str]:
        """The words that belong to no option."""
        given = iter(self._words)
        for word in given:
            flag, equals, value = word.partition("=")
            if not word.startswith("-") or len(word) < 2 or word[1].isdigit() or " " in flag:
                yield word
                continue
            option = self._grammar.options.get(flag)
            if option is None:
                known = difflib.get_close_matches(flag, self._grammar.options, n=1)
                raise _wrong(self._verb, f"There is no option {flag!r:.80}.", *known)
            if option.kind is None:
                if equals:
                    raise _wrong(self._verb, f"`{flag}` takes no value.")
                self._values[option.key] = True
                continue
            text = value if equals else next(given, None)
            if not text:
                raise _wrong(self._verb, f"`{flag}` needs a value.")
            self._values[option.key] = self._read(option.kind, text)

    def _read(self, kind: str, word: str) -> Any:
        try:
            return words.KINDS[kind](word)
        except ValueError as problem:
            raise _wrong(self._verb, f"{word!r:.80}: {problem}.") from None


def _pairs(verb: Verb, given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise _wrong(verb, f"{word!r:.80} is not of the form key=value.")
        found[key] = value
    return found


def _verb(said: list[str], verbs: Mapping[str, Verb]) -> tuple[Verb, list[str]]:
    """The verb with the most words that fits, and what follows it."""
    if not said and EMPTY in verbs:
        return verbs[EMPTY], []
    lower = [word.lower() for word in said]
    if lower:
        lower[0] = ALIASES.get(lower[0], lower[0]) if lower[0] not in verbs else lower[0]
    for length in (2, 1):
        if (name := " ".join(lower[:length])) in verbs and len(lower) >= length:
            return _pair_form(verbs, name, said[length:]), said[length:]
    raise _unknown(said, lower, verbs)


def _pair_form(verbs: Mapping[str, Verb], name: str, rest: list[str]) -> Verb:
    """`config web cpus=1` changes, `config web` shows: the pairs say which."""
    setter = verbs.get(f"{name} set")
    has_pairs = any("=" in word and not word.startswith("-") for word in rest)
    return setter if setter and "KEY=VALUE" in setter.usage and has_pairs else verbs[name]


def _unknown(said: list[str], lower: list[str], verbs: Mapping[str, Verb]) -> Misunderstood:
    if not said:
        return Misunderstood("That is no command.", "`/o8 help` lists them.")
    if len(lower) > 1 and lower[1] in verbs:  # `web restart`
        meant = [(said[1], said[0], *said[2:])]
    else:
        meant = [(name, *said[1:]) for name in difflib.get_close_matches(lower[0], verbs, n=2, cutoff=0.6)]
    texts = tuple(" ".join((first, *map(_said, rest))) for first, *rest in meant)
    return Misunderstood(f"There is no command {said[0]!r:.80}.", "`/o8 help` lists them.", texts)


def _sensible(texts: tuple[str, ...], reason: str, verbs: Mapping[str, Verb]) -> tuple[str, ...]:
    """Of suggestions those that would be understood; for others how they are written."""
    found = []
    for text in texts:
        name = text.partition(" ")[0]
        for whole in (text + reason, text):
            try:
                found.append(canonical(parse(whole, verbs)))
                break
            except Misunderstood:
                pass
        else:
            found += [f"help {name}"] * ("help" in verbs)
    return tuple(dict.fromkeys(text for text in found if len(text) < 200))


def _wrong(verb: Verb, problem: str, *known: str) -> Misunderstood:
    hint = f" Did you mean `{known[0]}`?" if known else ""
    how = f"`/o8 {verb.usage}`; `/o8 help {verb.name}` says more."
    if verb.caution:
        return Misunderstood(f"That is not how to give `{verb.name}`.", f"{how} {verb.caution}")
    return Misunderstood(f"{problem}{hint}", how)


def _said(value: Any) -> str:
    """A value as a word that is read as the same."""
    text = f"{int(value.total_seconds())}s" if isinstance(value, timedelta) else str(value)
    return words.quoted(words.escaped(text))
