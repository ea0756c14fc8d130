"""`o8 github setup`: makes the webhook at GitHub, or mends it, and sees a ping arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bot.errors import Conflict, GitHubRefused, InvalidInput, NotFound
from bot.findings import Finding, ok, warning
from bot.github.hooks import APP, Hook, Hooks, Sent, is_same_address
from bot.hooks import reasons
from bot.hooks.places import Places
from bot.settings import Settings
from bot.store import Store

PATIENCE_S, PAUSE_S = 20.0, 0.5  # for a ping; between two looks for it
RECENT = timedelta(minutes=10)  # GitHub's clock and ours may differ


class HookSetup:
    def __init__(self, settings: Settings, store: Store, places: Places) -> None:
        self._settings = settings
        self._store = store
        self._places = places

    async def set_up(self, owner: str, repository: str = "", *, is_dry_run: bool = False) -> tuple[Finding, ...]:
        """What was done, or would be. With an App its own webhook is set; `repository` is then of no use.

        Raises `Conflict` for what is not set or not allowed, `NotFound` for an unknown owner, `InvalidInput` for a user
        without a `repository`, `GitHubUnavailable`, `GitHubRefused`.
        """
        secret = self._secret()
        if self._places.app:
            return tuple(await self._set_up_app(self._places.app, owner, secret, is_dry_run=is_dry_run))
        if self._places.person is None:
            raise Conflict("o8 has nothing to log in to GitHub with.",
                           "Set GITHUB_PAT to a classic token with `read:packages` and `admin:org_hook`, for a "
                           "repository `admin:repo_hook`.")  # fmt: skip
        place = await self._place(owner, repository)
        return tuple(await self._set_up(self._places.person, place, secret, is_dry_run=is_dry_run))

    def _secret(self) -> str:
        """The first one. Raises `Conflict` with everything that is not set."""
        missing = []
        if not self._places.url:
            missing.append("PUBLIC_URL, where the internet reaches o8, such as https://o8.example.org")
        if not self._settings.webhook_secrets:
            missing.append("GITHUB_WEBHOOK_SECRET (`openssl rand -hex 32` makes one)")
        if missing:
            raise Conflict("There is no webhook without its address and secret.", f"Set {' and '.join(missing)}.")
        return self._settings.webhook_secrets[0].decode()

    async def _place(self, owner: str, repository: str) -> str:
        if repository:
            return f"repos/{owner}/{repository}"
        try:
            kind = await self._places.kind_of(owner)
        except GitHubRefused as refusal:
            if refusal.status != 404:
                raise
            raise NotFound(
                f"GitHub knows nobody called {owner}.", "Is it spelled as in the address of their page?"
            ) from None
        if kind == "orgs":
            return f"orgs/{owner}"
        known = sorted({name.split("/")[1] for name in (await self._places.linked(owner)).values() if name})
        raise InvalidInput(
            f"{owner} is a user, and has no webhook for all packages.",
            f"Add `--repo` with a repository{': ' + ', '.join(known[:10]) if known else ''}.",
        )

    async def _set_up(self, hooks: Hooks, place: str, secret: str, *, is_dry_run: bool) -> list[Finding]:
        name, before = place.partition("/")[2], frozenset[str]()
        subject, url = f"webhook of {name}", self._places.url
        try:
            ours = [hook for hook in await hooks.of(place) if is_same_address(hook.url, url)]
            hook = next((each for each in ours if each.is_active), ours[0] if ours else None)
            if is_dry_run:
                return [ok(subject, _would(hook, url)), *_spare(subject, ours, hook)]
            if hook is None:
                hook = await hooks.create(place, url, secret)
                done = ok(subject, f"Made: GitHub tells {url} of packages, as signed JSON.")
            else:
                await hooks.repair(hook, url, secret)
                before = frozenset(sent.guid for sent in await _pings(hooks, hook))
                await hooks.ping(hook)
                done = ok(subject, f"{_changed(hook)} The secret was set again.")
        except GitHubRefused as refusal:
            if refusal.status not in (401, 403, 404):
                raise
            raise Conflict(f"GitHub does not let o8 set the webhook of {name} ({refusal.status}).",
                           reasons.remedy(place, refusal)) from None  # fmt: skip
        return [done, *_spare(subject, ours, hook), await self._ping(hooks, hook, before, reasons.setup_of(place))]

    async def _set_up_app(self, hooks: Hooks, owner: str, secret: str, *, is_dry_run: bool) -> list[Finding]:
        found = [] if await self._places.has_app(owner) else [reasons.not_installed(owner)]
        try:
            hook = (await hooks.of(APP))[0]
            if not is_dry_run:
                await hooks.repair(hook, self._places.url, secret)
        except GitHubRefused as refusal:
            raise Conflict(
                f"The App's webhook cannot be set: {refusal.message}", reasons.remedy(APP, refusal)
            ) from None
        is_same = is_same_address(hook.url, self._places.url)
        before = "as it was" if is_same else f"it was {hook.url or 'empty'}"
        said = "would deliver" if is_dry_run else "delivers"
        found.append(
            ok("App", f"Its webhook {said} to {self._places.url} ({before}), as JSON, with the secret of now.")
        )
        found += [each for each in reasons.of_hook("App", hook, "") if "packages" in each.message]
        if not is_dry_run:
            found.append(ok("ping", "GitHub sends none for an App. `o8 github check` after the next push says more."))
        return found

    async def _ping(self, hooks: Hooks, hook: Hook, before: frozenset[str], setup: str) -> Finding:
        """Whether o8 itself has seen the ping that was just sent; `before`: those of earlier."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for sent in await _pings(hooks, hook):
                        if sent.guid not in before:
                            return await self._of_ping(hooks, hook, sent, setup)
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            return warning(
                "ping", f"GitHub has not sent it within {PATIENCE_S:.0f} s.", "`o8 github check` in a minute."
            )

    async def _of_ping(self, hooks: Hooks, hook: Hook, sent: Sent, setup: str) -> Finding:
        if not sent.has_arrived:
            answer = await hooks.answer(hook.path, sent.id)
            return reasons.of_failure("ping", sent, answer, self._places.url, setup)
        try:
            await self._store.delivery(sent.guid)
        except NotFound:
            answer = await hooks.answer(hook.path, sent.id)
            return reasons.of_arrival("ping", sent, None, answer, self._places.url)
        return ok("ping", "GitHub's ping has arrived, and its signature is right.")


async def _pings(hooks: Hooks, hook: Hook) -> list[Sent]:
    """Of the last minutes, the newest first."""
    since = datetime.now(UTC) - RECENT
    return [sent async for sent in hooks.deliveries(hook.path, since) if sent.event == "ping"]


def _would(hook: Hook | None, url: str) -> str:
    if hook is None:
        return f"Would be made: GitHub tells {url} of packages, as signed JSON."
    return (
        f"{_changed(hook)} The secret would be set again."
        if not _differences(hook)
        else (f"Would be mended: {', '.join(_differences(hook))}. The secret would be set again.")
    )


def _changed(hook: Hook) -> str:
    differences = _differences(hook)
    return f"Mended: {', '.join(differences)}." if differences else "It is as it is to be."


def _differences(hook: Hook) -> list[str]:
    found = {
        "it was switched off": not hook.is_active,
        f"it was sent for {', '.join(hook.events) or 'nothing'}": set(hook.events) != {"package"},
        f"its content type was {hook.content_type}": hook.content_type != "json",
        "it had no secret": not hook.has_secret,
        "the certificate was not checked": not hook.checks_tls,
    }
    return [words for words, is_so in found.items() if is_so]


def _spare(subject: str, ours: list[Hook], kept: Hook | None) -> Iterator[Finding]:
    numbers = [hook.path.rpartition("/")[2] for hook in ours if hook != kept]
    if numbers:
        yield warning(subject, f"Each push comes twice, as others deliver to the same address: {', '.join(numbers)}.",
                      "Remove them in the settings at GitHub; o8 takes what comes twice once.")  # fmt: skip
