"""Names and passwords: whether they belong together, slowly for who guesses; who is logged in where."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict

from bot import passwords
from bot.accounts import Session
from bot.errors import Conflict, LoginRefused, TooManyTries
from bot.passwords import Passwords
from bot.store import Store

KNOWN_S = 60.0  # a program that sends its password with every call costs one hash a minute
KNOWN = 1000
HOME_S = 86400.0  # who was right at an address is stopped there by wrong tries at their own name alone
HOMES = 10_000
AT_ONCE = 2  # passwords that are looked at: others wait, and meet the pause that a wrong one before them brought
REFUSED_AFTER_S = 0.5  # at least, so that nobody sees in the time whether a name exists and how its hash was made
_ADMIN_HASH = "auth_password"  # in `meta`: of the password that o8 made for the admin of AUTH_USERNAME
_ADMIN_NAME = "auth_username"  # in `meta`: of the last start
_SETTING_HASH = "auth_password_setting"  # in `meta`: of the AUTH_PASSWORD of the last start
_REFUSED = ("The name or the password is wrong.", "Nobody can say which. An admin can set a new password.")


class Failures:
    """After `free` wrong tries with one key the next must wait, twice as long each time, `longest_s` at most."""

    def __init__(self, free: int, longest_s: float) -> None:
        self._free = free
        self._longest_s = longest_s
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def pause(self, key: str) -> float:
        """Seconds until the next try is looked at."""
        count, at = self._seen.get(key, (0, 0.0))
        pause: float = min(2.0 ** (count - self._free), self._longest_s) if count >= self._free else 0.0
        return max(at + pause - time.monotonic(), 0.0)

    def note(self, key: str) -> None:
        count, at = self._seen.pop(key, (0, 0.0))
        is_old = time.monotonic() - at > 3600
        self._seen[key] = (1 if is_old else min(count + 1, 1000), time.monotonic())
        if len(self._seen) > 10_000:
            self._seen.popitem(last=False)

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


class Logins:
    """`admin` lives in no table; `admin_password` empty: o8 made one and keeps its hash."""

    def __init__(self, store: Store, words: Passwords, admin: str, admin_password: str) -> None:
        self._store = store
        self._words = words
        self._admin = admin
        self._admin_password = admin_password
        self._admin_hash = ""
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._homes: OrderedDict[str, float] = OrderedDict()
        self._salt = secrets.token_bytes(16)
        self._places = asyncio.Semaphore(AT_ONCE)
        # One address at one name; one address at any name; any address at one name, never locked out for long.
        self._failures = {
            "{name} {address}": Failures(5, 60),
            "{address}": Failures(30, 60),
            "{name}": Failures(100, 2),
        }

    async def first_password(self) -> str:
        """Makes the admin's password where none was ever set; it is returned this once, and kept as a hash.

        Called at each start: where AUTH_PASSWORD is another one than at the last, the admin's sessions end; where
        AUTH_USERNAME is, what a user of that name came in with before does not make them admin.
        """
        await self._note_setting()
        if self._admin_password or await self._store.remembered(_ADMIN_HASH):
            return ""
        password = secrets.token_urlsafe(15)
        await self._store.remember(_ADMIN_HASH, await self._words.hash(password))
        return password

    async def check(self, name: str, password: str, address: str) -> str:
        """The username, when the password is that of `name`; raises `LoginRefused`, `TooManyTries`.

        `address` is where they call from.
        """
        return (await self._let_in(_short(name), password, address))[0]

    async def open_session(self, name: str, password: str, address: str, agent: str) -> tuple[Session, str]:
        """A new session, and the secret for its cookie. Raises as `check`."""
        username, hash = await self._let_in(_short(name), password, address)
        session, secret = await self._store.open_session(username, agent)
        if await self._hash_of(username) != hash:  # a new password came meanwhile, and ended all sessions but this
            await self._store.close_session(session.id)
            raise LoginRefused(*_REFUSED)
        await self._store.record(f"user:{username}", "log in", username, {"address": address})
        return session, secret

    async def hash(self, password: str) -> str:
        """For a new user; raises `InvalidInput` for a password that is too short or too long."""
        return await self._words.hash(password)

    async def set_password(self, username: str, password: str) -> None:
        """Replaces it, and logs out whoever came in with the old one. Raises `InvalidInput`, `NotFound`;
        `Conflict` for the admin whose password is a setting."""
        if username != self._admin:
            await self._store.user(username)  # raises before a hash is made for nobody
            await self._store.set_password_hash(username, await self._words.hash(password))
        elif self._admin_password:
            raise Conflict(f"The password of {username} is the setting AUTH_PASSWORD.", "Change it there.")
        else:
            await self._store.remember(_ADMIN_HASH, await self._words.hash(password))
            await self._store.close_sessions(username)

    def close(self) -> None:
        self._words.close()

    async def _let_in(self, name: str, password: str, address: str) -> tuple[str, str]:
        """Name and hash of who is right."""
        begin, own = time.monotonic(), f"{name} {address}"
        if pause := self._failures["{name} {address}"].pause(own):
            raise TooManyTries(pause)
        hash = await self._hash_of(name)
        if hash and self._is_known(name, password, hash):
            return name, hash
        try:
            async with self._places:
                hash = await self._verified(name, password, address)
        except LoginRefused:
            await asyncio.sleep(begin + REFUSED_AFTER_S - time.monotonic())
            raise
        self._failures["{name} {address}"].forget(own)
        self._learn(name, password, hash, own)
        return name, hash

    async def _verified(self, name: str, password: str, address: str) -> str:
        """The hash that the password fits, of now: both may have changed while others had their turn."""
        counted = self._counted(name, address)
        own, others = counted[0], counted[1:]
        looked_at = [own] if self._homes.get(own[0], 0.0) > time.monotonic() else [own, *others]
        if pause := max(failures.pause(key) for key, failures in looked_at):
            raise TooManyTries(pause)
        hash = await self._hash_of(name)
        if hash and self._is_known(name, password, hash):
            return hash
        if not await self._words.verify(hash, password) or not hash:
            # A page that was left open sends the password of yesterday every few seconds: that is no guess.
            if self._digest(name, password) not in self._known:
                for key, failures in counted:
                    failures.note(key)
            raise LoginRefused(*_REFUSED)
        if name == self._admin or not passwords.is_outdated(hash):
            return hash
        renewed = await self._words.rehash(password)
        await self._store.renew_password_hash(name, hash, renewed)
        return renewed

    async def _note_setting(self) -> None:
        before = await self._store.remembered(_ADMIN_NAME)
        if before != self._admin:
            if before:
                await self._store.end_logins(self._admin)
            await self._store.remember(_ADMIN_NAME, self._admin)
        noted = await self._store.remembered(_SETTING_HASH)
        if self._admin_password:
            self._admin_hash = await self._words.rehash(self._admin_password)
            if not await self._words.verify(noted or None, self._admin_password):
                await self._store.close_sessions(self._admin)
                await self._store.remember(_SETTING_HASH, self._admin_hash)
        elif noted:
            await self._store.close_sessions(self._admin)
            await self._store.forget(_SETTING_HASH)

    async def _hash_of(self, name: str) -> str | None:
        if name != self._admin:
            return await self._store.password_hash(name)
        if not self._admin_password:
            return await self._store.remembered(_ADMIN_HASH) or None
        self._admin_hash = self._admin_hash or await self._words.rehash(self._admin_password)
        return self._admin_hash

    def _counted(self, name: str, address: str) -> list[tuple[str, Failures]]:
        return [(key.format(name=name, address=address), found) for key, found in self._failures.items()]

    def _is_known(self, name: str, password: str, hash: str) -> bool:
        """Whether the same was right a moment ago, and nothing has changed since."""
        known, until = self._known.get(self._digest(name, password), ("", 0.0))
        return known == hash and until > time.monotonic()

    def _learn(self, name: str, password: str, hash: str, home: str) -> None:
        self._homes.pop(home, None)
        self._homes[home] = time.monotonic() + HOME_S
        if len(self._homes) > HOMES:
            self._homes.popitem(last=False)
        self._known[self._digest(name, password)] = (hash, time.monotonic() + KNOWN_S)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _digest(self, name: str, password: str) -> bytes:
        text = f"{name}\0{password}".encode(errors="replace")
        return hashlib.blake2b(text, key=self._salt, digest_size=32).digest()


def _short(name: str) -> str:
    """As it is looked up, and remembered when it was wrong; nobody's is longer than 63, and a form may bring 2 MB."""
    return name[:64].lower()[:64]
