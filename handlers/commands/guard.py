"""Rights before deeds: every public method of `Commands` says which action it needs, and is refused without it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from bot.permissions import Action, Person
from bot.services import Services

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Actor")
Subject = TypeVar("Subject", str, int)


class Actor:
    """Somebody who acts, such as `cli:root` or `slack:T1:U1`. Everything they change is recorded with their name."""

    def __init__(self, services: Services, actor: str) -> None:
        self._services = services
        self._store = services.store
        self._worker = services.worker
        self._actor = actor

    async def _require(self, action: Action, service: str = "") -> Person:
        """Raises `Forbidden`, or `NotFound` for a service that they may not see."""
        return await self._services.authority.require(self._actor, action, service)

    async def _record(self, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
        await self._store.record(self._actor, action, subject, detail or {})


class Guarded(Protocol):
    """What each of these marks leaves on a method, for tables and tests."""

    action: Action | None


def needs(
    action: Action,
) -> Callable[
    [Callable[Concatenate[S, Subject, P], Coroutine[Any, Any, T]]],
    Callable[Concatenate[S, Subject, P], Coroutine[Any, Any, T]],
]:
    """For methods whose first argument is a service's name, or the id of a deployment of that service."""

    def guard(
        method: Callable[Concatenate[S, Subject, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[S, Subject, P], Coroutine[Any, Any, T]]:
        @functools.wraps(method)
        async def guarded(self: S, subject: Subject, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if isinstance(subject, str):
                await self._require(action, subject)
            else:
                await self._services.authority.require_for(self._actor, action, subject)
            return await method(self, subject, *args, **kwargs)

        return _marked(guarded, action)

    return guard


def needs_globally(
    action: Action,
) -> Callable[
    [Callable[Concatenate[S, P], Coroutine[Any, Any, T]]], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
]:
    """For methods that are about no service."""

    def guard(
        method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
        @functools.wraps(method)
        async def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            await self._require(action)
            return await method(self, *args, **kwargs)

        return _marked(guarded, action)

    return guard


def checks_itself(action: Action) -> Callable[[T], T]:
    """For methods where it depends on their values which right is needed; `action` is the least that is."""

    def mark(method: T) -> T:
        return _marked(method, action)

    return mark


def needs_an_account(method: T) -> T:
    """For what every known user may do, whatever rights they have; `Authority.who` refuses the others."""
    return _marked(method, None)


def _marked(method: T, action: Action | None) -> T:
    cast("Guarded", method).action = action
    return method
