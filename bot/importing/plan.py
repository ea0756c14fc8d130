"""What the original has beside what is in o8: what an import would do. What is in o8 already is left alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bot import environment
from bot.accounts import User
from bot.configuration import Configuration
from bot.errors import InvalidInput
from bot.importing import (
    OldRight,
    OldService,
    OldUser,
    Original,
    Outcome,
    PlannedRight,
    PlannedService,
    PlannedUser,
)
from bot.importing.services import Found, name_of, read_service
from bot.importing.users import can_log_in_with
from bot.models import Service
from bot.permissions import GLOBAL, GLOBAL_ONLY, Action, Person, scope_of, service_of

_ITS_WORDS = {"view_config": Action.VIEW_CONFIGURATION, "edit_config": Action.EDIT_CONFIGURATION}
_USERNAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


class Here(NamedTuple):
    """What is there already. `images`: of containers that are not o8's, by their names."""

    services: Sequence[Service]
    users: Sequence[User]
    admin: str
    images: Mapping[str, str]


class ServiceDraft(NamedTuple):
    """`shown` holds no value of `environment`."""

    shown: PlannedService
    environment: str


class UserDraft(NamedTuple):
    shown: PlannedUser
    hash: str


class Draft(NamedTuple):
    services: tuple[ServiceDraft, ...]
    users: tuple[UserDraft, ...]


def draft(original: Original, here: Here) -> Draft:
    """What an import would do; one that makes no sense is refused by itself, and the others are not."""
    services = tuple(_services(original.services, here))
    names = {d.shown.original: d.shown.name for d in services if d.shown.outcome is not Outcome.REFUSED}
    return Draft(services, tuple(_users(original.users, here, names)))


# -- services


def _services(found: Iterable[OldService], here: Here) -> Iterator[ServiceDraft]:
    taken: dict[str, str] = {}  # name in o8 -> name in the original
    owners = {claim: one.name for one in here.services for claim in _claims(one.configuration)}
    for old in sorted(found, key=lambda one: (name_of(one.name) != one.name, one.name)):
        name = name_of(old.name)
        planned = PlannedService(original=old.name, name=name, outcome=Outcome.REFUSED)
        try:
            if name in taken:
                raise InvalidInput(
                    f"o8 calls it {name!r}, as it does {taken[name]!r}.", "Rename one of the two folders."
                )
            taken[name] = old.name
            made = _service(old, here, owners)
        except InvalidInput as trouble:
            made = ServiceDraft(planned.model_copy(update={"error": str(trouble)}), "")
        if made.shown.configuration:
            owners |= dict.fromkeys(_claims(made.shown.configuration), name)
        yield made


def _service(old: OldService, here: Here, owners: Mapping[str, str]) -> ServiceDraft:
    name = name_of(old.name)
    there = next((one for one in here.services if one.name == name), None)
    if there:
        return _left_alone(old, there, here)
    variables = _variables(old.environment)
    found = read_service(old, here.images.get(old.name))
    for claim in _claims(found.configuration):  # as `Store.apply` does; here it is known before anything is done
        if claim in owners:
            raise InvalidInput(f"{claim} already belongs to {owners[claim]}.", "Remove it from one of the two.")
    shown = PlannedService(
        original=old.name, name=name, outcome=Outcome.TO_ADD, tag=found.tag, configuration=found.configuration,
        variables=variables, warnings=(*([f"o8 calls it {name}"] if name != old.name else []), *found.warnings),
        next_steps=tuple(_next_steps(old.name, found, has_container=old.name in here.images)),
    )  # fmt: skip
    return ServiceDraft(shown, old.environment)


def _left_alone(old: OldService, there: Service, here: Here) -> ServiceDraft:
    """A kill in the middle of an import may have parted a service from its environment: only that is added then."""
    shown = PlannedService(original=old.name, name=there.name, outcome=Outcome.AS_IT_IS)
    try:
        image = read_service(old, here.images.get(old.name)).configuration.image
    except InvalidInput:
        return ServiceDraft(shown, "")
    if image != there.configuration.image:
        why = f"here it runs another image: {there.configuration.image}"
        return ServiceDraft(shown.model_copy(update={"warnings": (why,)}), "")
    if there.environment_revision or there.live is not None or not (variables := _variables(old.environment)):
        return ServiceDraft(shown, "")
    why = "is here, but was never given its environment: only that is added"
    update = {"outcome": Outcome.TO_ADD, "variables": variables, "warnings": (why,)}
    return ServiceDraft(shown.model_copy(update=update), old.environment)


def _variables(text: str) -> tuple[str, ...]:
    """Raises `InvalidInput` with the number of a line, never with what is in it."""
    if "\0" in text:
        raise InvalidInput("Its .env holds a zero byte, which no environment can carry.", "Remove it there.")
    return tuple(environment.parse(text))


def _claims(configuration: Configuration) -> Iterator[str]:
    """What only one service can have."""
    yield from configuration.domains
    if configuration.host_port:
        yield f"Host port {configuration.host_port.rpartition(':')[2]}"


def _next_steps(container: str, found: Found, *, has_container: bool) -> Iterator[str]:
    """The cut-over, after which o8 serves what the original's container served."""
    name, domains = found.configuration.name, " and ".join(found.configuration.domains)
    if has_container:
        yield f"look whether the container has volumes: docker inspect -f '{{{{json .Mounts}}}}' {container}"
    if domains:
        yield f"move the original's nginx file for {domains} out of nginx's folders, and do not reload nginx"
    yield f"o8 deploy {name} {found.tag}".rstrip()
    if has_container:
        yield f"look at it, then: docker update --restart=no {container} && docker stop {container}"
    if found.host_port:
        yield f"o8 service show {name} | sed '1i host_port = \"{found.host_port}\"' | o8 service apply -"
    yield f'o8 service show {name} | sed \'s/auto_deploy = "off"/auto_deploy = "on"/\' | o8 service apply -'


# -- users


def _users(found: Iterable[OldUser], here: Here, names: Mapping[str, str]) -> Iterator[UserDraft]:
    taken: dict[str, str] = {}
    users = {user.username: user for user in here.users}
    for old in sorted(found, key=lambda one: (one.username.lower() != one.username, one.username)):
        name = old.username.lower()
        planned = PlannedUser(original=old.username, username=name, outcome=Outcome.REFUSED)
        if not _USERNAME.fullmatch(name):
            error = "This cannot be a username: lower-case letters, digits and . _ -, up to 63. Add them by hand."
            yield UserDraft(planned.model_copy(update={"username": "", "error": error}), "")
        elif name in taken:
            error = f"o8 takes no notice of capitals, so this is the same as {taken[name]!r:.80}. Add them by hand."
            yield UserDraft(planned.model_copy(update={"error": error}), "")
        else:
            taken[name] = old.username
            yield _user(old, planned, here, users.get(name), names)


def _user(old: OldUser, planned: PlannedUser, here: Here, there: User | None, names: Mapping[str, str]) -> UserDraft:
    warnings = list(old.notes)
    rights = tuple(dict.fromkeys(_rights(old, names, warnings)))
    if planned.username == here.admin:
        why = "the admin of AUTH_USERNAME, who is in no table; the password is that of o8's settings"
        return UserDraft(planned.model_copy(update={"outcome": Outcome.LEFT_OUT, "warnings": (why,)}), "")
    if there:
        return UserDraft(planned.model_copy(update={
            "outcome": Outcome.AS_IT_IS, "has_password": there.has_password,
            "warnings": tuple(_differences(there, rights)),
        }), "")  # fmt: skip
    if not old.is_active:
        why = "could not log in there any more"
        return UserDraft(planned.model_copy(update={"outcome": Outcome.LEFT_OUT, "warnings": (why,)}), "")
    has_password = can_log_in_with(old.hash)
    if not has_password:
        what = "the password's hash is none that o8 can use" if old.hash else "there is no password"
        warnings.append(f"{what}: o8 user password {planned.username}")
    shown = planned.model_copy(update={
        "outcome": Outcome.TO_ADD, "rights": rights, "has_password": has_password, "warnings": tuple(warnings),
    })  # fmt: skip
    return UserDraft(shown, old.hash if has_password else "")


def _rights(old: OldUser, names: Mapping[str, str], warnings: list[str]) -> Iterator[PlannedRight]:
    if old.is_admin:
        yield PlannedRight(action=Action.ADMIN, scope=GLOBAL)
    for right in old.permissions:
        action, scope = _action(right), _scope(right, names)
        if action is None:
            warnings.append(f"{right.action!r:.80} in {right.scope!r:.80} is no right that o8 knows")
        elif scope is None:
            warnings.append(f"{action} in {right.scope!r:.80}: there is no such service")
        elif action in GLOBAL_ONLY and scope != GLOBAL:
            warnings.append(f"{action} in {right.scope!r:.80}: it is about no single service")
        else:
            yield PlannedRight(action=action, scope=scope)


def _action(right: OldRight) -> Action | None:
    """`view_config`, `viewConfig` and our own words."""
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", right.action.strip()).lower().replace("-", "_")
    return _ITS_WORDS.get(word) or (Action(word) if word in list(Action) else None)


def _scope(right: OldRight, names: Mapping[str, str]) -> str | None:
    """`global` only where that is said, a service only where it has a folder. A bare name is a service's."""
    written = right.scope.strip()
    if written == GLOBAL:
        return GLOBAL
    name = names.get(service_of(written) or written)
    return scope_of(name) if name else None


def _differences(there: User, rights: Iterable[PlannedRight]) -> Iterator[str]:
    """What somebody of that name had in the original and has not here. It may be another person: nothing is given."""
    person = Person(actor="", username=there.username, grants=there.grants)
    for right in rights:
        if not person.may(right.action, service_of(right.scope)):
            wanted = f"{right.action} {right.scope}"
            yield f"had {right.action} in {right.scope} there: o8 user grant {there.username} {wanted}"
    if not there.has_password:
        yield f"has no password here: o8 user password {there.username}"
