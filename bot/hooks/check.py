"""`o8 github check`: why deliveries do not arrive, from GitHub's own records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bot.errors import GitHubRefused, NotFound, O8Error
from bot.findings import Finding, fault, of_failure, ok, warning
from bot.github.hooks import APP, Hook, Hooks, Sent, is_same_address
from bot.hooks import reasons
from bot.hooks.places import Places
from bot.models import Delivery
from bot.settings import Settings
from bot.store import Store

KEPT = timedelta(days=3)  # GitHub knows no more
_NOT_SHOWN_BY_PING = (413, 503)  # a ping is small, and asks nothing of o8


class Look(NamedTuple):
    """The webhooks of one place (`orgs/acme`, `repos/acme/web`)."""

    place: str
    ours: Sequence[Hook] = ()
    others: Sequence[Hook] = ()
    refusal: Finding | None = None

    @property
    def setup(self) -> str:
        return reasons.setup_of(self.place)

    @property
    def subject(self) -> str:
        return f"webhook of {self.place.partition('/')[2]}"


class HookCheck:
    """Changes nothing. Everything that does not answer becomes a finding."""

    def __init__(self, settings: Settings, store: Store, places: Places) -> None:
        self._settings = settings
        self._store = store
        self._places = places

    async def check(self, owner: str = "") -> tuple[Finding, ...]:
        """About `owner`, or all of GITHUB_OWNERS or in use. Takes as long as GitHub."""
        found = list(self._of_settings())
        if any(each.state == "fault" for each in found):
            return tuple(found)
        try:
            owners = (owner,) if owner else await self._places.owners()
            if not owners:
                found.append(fault("owner", "It is not known whose packages are meant: no service uses one.",
                                   "`o8 github check OWNER`, or set GITHUB_OWNERS."))  # fmt: skip
            if self._places.app:
                found += [each async for each in self._of_app(self._places.app, owners)]
            elif self._places.person:
                for each_owner in owners:
                    found += [each async for each in self._of_owner(self._places.person, each_owner)]
        except O8Error as failure:
            found.append(of_failure("GitHub", failure))
        return tuple(found)

    def _of_settings(self) -> list[Finding]:
        found, url = [], self._places.url
        if not self._settings.webhook_secrets:
            next_step = "`openssl rand -hex 32` makes one; set it, restart o8, then `o8 github setup OWNER`."
            found.append(fault("secret", "GITHUB_WEBHOOK_SECRET is not set: o8 takes no delivery (503).", next_step))
        if not url:
            next_step = "Set it to where the internet reaches o8, such as https://o8.example.org."
            found.append(fault("address", "PUBLIC_URL is not set: which webhook is o8's is not known.", next_step))
        elif url.startswith("http:"):
            found.append(warning("address", f"{url} is not encrypted.", "Use https: docs/tls.md."))
        if not self._places.app and not self._places.person:
            next_step = (
                "Set GITHUB_PAT to a classic token with `read:packages` and `admin:org_hook` (or `admin:repo_hook`). "
                "Without one: Recent deliveries, in the webhook's settings at GitHub."
            )
            found.append(fault("token", "Neither GITHUB_PAT nor an App is set: GitHub tells o8 nothing.", next_step))
        return found

    async def _of_app(self, hooks: Hooks, owners: tuple[str, ...]) -> AsyncIterator[Finding]:
        """Every installation delivers to the App's one address."""
        for owner in owners:
            if not await self._places.has_app(owner):
                yield reasons.not_installed(owner)
        try:
            hook = (await hooks.of(APP))[0]
        except GitHubRefused as refusal:
            yield reasons.not_seen(APP, refusal)
            return
        setup = f"o8 github setup {owners[0] if owners else 'OWNER'}"
        if not is_same_address(hook.url, self._places.url):
            yield reasons.of_elsewhere("App", [hook], self._places.url, setup)
            return
        async for finding in self._of_hook("App", hooks, hook, setup):
            yield finding
        for owner in owners:
            for image in _unlinked(await self._concerned(owner)):
                yield reasons.unlinked(image)

    async def _of_owner(self, hooks: Hooks, owner: str) -> AsyncIterator[Finding]:
        """An organization's webhook hears of all its packages, a repository's of those that are linked to it."""
        looks: list[Look] = []
        is_organization = await self._places.kind_of(owner) == "orgs"
        if is_organization:
            looks.append(await self._look(hooks, f"orgs/{owner}"))
        concerned = await self._concerned(owner)
        if not any(look.ours for look in looks):
            for name in sorted({name for name in concerned.values() if name}):
                looks.append(await self._look(hooks, f"repos/{name}"))
        if not any(look.ours for look in looks):
            yield self._of_none(owner, looks)
            return
        is_complete = bool(looks[0].ours) and is_organization
        for look in looks:
            async for finding in self._of_look(hooks, look, is_needed=not look.place.startswith("orgs/")):
                yield finding
        for image in () if is_complete else _unlinked(concerned):
            yield reasons.unlinked(image)

    def _of_none(self, owner: str, looks: Sequence[Look]) -> Finding:
        """Nobody delivers to o8 from `owner`."""
        if refused := next((look.refusal for look in looks if look.refusal), None):
            return refused
        others = [hook for look in looks for hook in look.others]
        if looks:
            return reasons.of_elsewhere(f"webhook of {owner}", others, self._places.url, looks[0].setup)
        return fault(f"webhook of {owner}", "A user has none for all packages, and none is linked to a repository.",
                     f"`o8 github setup {owner} --repo REPOSITORY` makes one there.")  # fmt: skip

    async def _look(self, hooks: Hooks, place: str) -> Look:
        try:
            found = await hooks.of(place)
        except GitHubRefused as refusal:
            return Look(place, refusal=reasons.not_seen(place, refusal))
        ours = [hook for hook in found if is_same_address(hook.url, self._places.url)]
        return Look(place, ours, [hook for hook in found if hook not in ours])

    async def _of_look(self, hooks: Hooks, look: Look, *, is_needed: bool) -> AsyncIterator[Finding]:
        if look.refusal:
            yield look.refusal.model_copy(update={"state": "warning"})  # another place has one
        for hook in look.ours:
            async for finding in self._of_hook(look.subject, hooks, hook, look.setup):
                yield finding
        if is_needed and not look.ours and not look.refusal:
            yield reasons.of_elsewhere(look.subject, list(look.others), self._places.url, look.setup)

    async def _concerned(self, owner: str) -> dict[str, str]:
        """Repositories by image: of those that services use, or of all when there are none. As GitHub listed them."""
        linked = await self._places.linked(owner)
        return {image: linked[image] for image in await self._places.used(owner) if image in linked} or linked

    async def _of_hook(self, subject: str, hooks: Hooks, hook: Hook, setup: str) -> AsyncIterator[Finding]:
        wrong = list(reasons.of_hook(subject, hook, setup))
        for finding in wrong:
            yield finding
        sent, ping = await _newest(hooks, hook.path)
        if sent is None or (sent.event == "ping" and sent.has_arrived):
            if not any(finding.state == "fault" for finding in wrong):
                yield ok(subject, "It is as it is to be. GitHub knows of no push in the last three days.")
            return
        answer = await hooks.answer(hook.path, sent.id)
        if sent.has_arrived:
            known = await self._known(sent.guid)
            yield reasons.of_arrival(subject, sent, known, answer, self._places.url)
        else:
            is_mended = ping is not None and ping.has_arrived and sent.status_code not in _NOT_SHOWN_BY_PING
            yield reasons.of_failure(subject, sent, answer, self._places.url, setup, is_mended=is_mended)

    async def _known(self, guid: str) -> Delivery | None:
        try:
            return await self._store.delivery(guid)
        except NotFound:
            return None


def _unlinked(concerned: dict[str, str]) -> list[str]:
    return [image for image, repository in concerned.items() if not repository]


async def _newest(hooks: Hooks, path: str) -> tuple[Sent | None, Sent | None]:
    """The newest try of a package's delivery, without one the newest ping; and the newest ping after it."""
    ping: Sent | None = None
    async for sent in hooks.deliveries(path, datetime.now(UTC) - KEPT):
        if sent.event in reasons.PACKAGE_EVENTS:
            return sent, ping
        if sent.event == "ping" and ping is None:
            ping = sent
    return ping, None
