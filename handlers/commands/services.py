"""What a service is and how it is held: configuration, replicas, stop, hold, lock, channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.configuration import Configuration, read
from bot.errors import Conflict, InvalidInput, Locked
from bot.models import Hold, Lock, Service
from bot.operations import Applied
from bot.permissions import Action
from bot.store.services import Expected
from handlers.commands.deployments import stated
from handlers.commands.guard import Actor, checks_itself, needs, needs_globally

LONGEST_LOCK = timedelta(days=30)
DEFAULT_LOCK = timedelta(hours=4)


class ServiceCommands(Actor):
    @checks_itself(Action.EDIT_CONFIGURATION)
    async def apply(
        self, configuration: Configuration, *, is_deployed: bool = True, expected: Expected = None
    ) -> Applied:
        """Adds a service (which needs `add_new_service`), or changes its configuration and deploys the change.

        `is_deployed` False: another deployment that is asked for next brings it. `expected`: the configuration that
        it was made from; raises `ChangedMeanwhile` when it is another one by now, so that no change is lost.
        """
        name, authority = configuration.name, self._services.authority
        if name in await authority.seen_by(await authority.who(self._actor)):
            await self._require(Action.EDIT_CONFIGURATION, name)
        else:
            await self._require(Action.ADD_NEW_SERVICE)
            if name in await self._store.service_names():  # hidden from them, but its name is taken
                raise Conflict(f"The name {name} is taken.", "Choose another one.")
        return await self._apply(configuration, is_deployed=is_deployed, expected=expected)

    @needs(Action.MANAGE)
    async def remove(self, service: str) -> None:
        """Removes a service from nginx and Docker; volumes and history stay."""
        await self._services.operations.remove(service)
        await self._record("remove", service)

    @needs(Action.MANAGE)
    async def stop(self, service: str) -> Service:
        """Stops a service; its site shows the maintenance page."""
        await self._services.operations.stop(service)
        await self._record("stop", service)
        return await self._store.service(service)

    @needs(Action.MANAGE)
    async def scale(self, service: str, replicas: int) -> Applied:
        """Changes how many replicas run."""
        found = await self._store.service(service)
        changed = read(found.configuration.model_dump() | {"replicas": replicas})
        return await self._apply(changed, expected=found.configuration)

    @needs(Action.MANAGE)
    async def retry_certificate(self, service: str) -> Service:
        """The certificate authority is asked again at once, whatever it said before."""
        found = await self._store.service(service)
        if found.configuration.site.tls != "auto":
            raise Conflict(f"{service} gets no certificate by o8.", '`[site] tls = "auto"` in its file changes that.')
        await self._store.forget_certificate_failure(service)
        await self._record("retry_certificate", service)
        return found

    @needs(Action.MANAGE)
    async def hold(self, service: str, reason: str) -> Service:
        """Automatic deployments are recorded but not run, until `resume`."""
        hold = Hold(reason=stated(reason), actor=self._actor, since=datetime.now(UTC))
        await self._store.set_hold(service, hold)
        await self._record("hold", service, {"reason": reason})
        return await self._store.service(service)

    @needs(Action.DEPLOY)
    async def resume(self, service: str) -> str:
        """Lifts a hold and looks for the newest tag at once; returns what came of it."""
        await self._store.set_hold(service, None)
        await self._record("resume", service)
        return await self._services.follower.look(service, actor=self._actor)

    @needs(Action.DEPLOY)
    async def lock(self, service: str, reason: str, duration: timedelta = DEFAULT_LOCK) -> Service:
        """Nobody deploys until the lock is lifted or expires."""
        found = await self._store.service(service)
        now = datetime.now(UTC)
        if not timedelta(minutes=1) <= duration <= LONGEST_LOCK:
            raise InvalidInput(f"A lock lasts from one minute to {LONGEST_LOCK.days} days.", "Such as `--for 2h`.")
        if found.lock and found.lock.until > now:
            raise Locked(
                f"{service} is locked by {found.lock.actor} until {found.lock.until:%Y-%m-%d %H:%M} UTC: "
                f"{found.lock.reason}.",
                f"`o8 unlock {service}` lifts it.",
                service,
            )
        lock = Lock(reason=stated(reason), actor=self._actor, since=now, until=now + duration)
        await self._store.set_lock(service, lock)
        await self._record("lock", service, {"reason": reason, "until": lock.until.isoformat()})
        return await self._store.service(service)

    @needs(Action.DEPLOY)
    async def unlock(self, service: str, *, steal: bool = False) -> Lock:
        """Lifts a lock and returns it; that of somebody else only with `steal`, which needs `manage`."""
        lock = (await self._store.service(service)).lock
        if lock is None or lock.until <= datetime.now(UTC):
            raise Conflict(f"{service} is not locked.")
        if not await self._services.authority.is_same_person(lock.actor, self._actor):
            await self._require(Action.MANAGE, service)
            if not steal:
                raise Locked(
                    f"{service} is locked by {lock.actor} until {lock.until:%Y-%m-%d %H:%M} UTC: {lock.reason}.",
                    f"`o8 unlock {service} --steal` takes it over.",
                    service,
                )
        await self._store.set_lock(service, None)
        await self._record("unlock", service, {"of": lock.actor})
        return lock

    @needs(Action.MANAGE)
    async def route(self, service: str, channel: str) -> None:
        """The service's cards go to `channel` from now on; empty: to the usual one."""
        await self._store.set_channel(service, channel)
        await self._record("route", service, {"channel": channel})

    @needs(Action.MANAGE)
    async def mute(self, service: str, until: datetime | None) -> None:
        """No cards of what goes well until then; None ends that."""
        await self._store.mute(service, until)
        await self._record("mute", service, {"until": until and until.isoformat()})

    @needs_globally(Action.ADD_NEW_SERVICE)
    async def dismiss_package(self, image: str) -> None:
        """Nobody wants to be asked about this image again."""
        await self._store.package(image)
        await self._store.dismiss_package(image)
        await self._record("dismiss", image)

    async def _apply(
        self, configuration: Configuration, *, is_deployed: bool = True, expected: Expected = None
    ) -> Applied:
        applied = await self._services.operations.apply(
            configuration, self._actor, is_deployed=is_deployed, expected=expected
        )
        await self._record("apply", configuration.name, configuration.model_dump(mode="json"))
        return applied
