"""One whole o8 with real parts around it: engine, registry with a password, its own nginx, a scratch data folder.

Tests, the demo and the benchmarks all live in a `House`; o8 itself runs as a process of its own, as in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Self

import aiohttp

from lab.engine import Place, ensure_engine, free_subnet
from lab.ports import free_port
from lab.private_engine import PrivateEngine
from lab.registry import PASSWORD, USER, LabRegistry, password_registry
from lab.waiting import until

SERVE = (sys.executable, "-m", "bot", "serve")
START_S = 20.0
ENDINGS = (
    "succeeded", "unchanged", "failed", "rolled_back", "superseded", "cancelled", "held", "needs_attention",
)  # fmt: skip
LIVE = ("draining", "watching", "succeeded")


class Refused(Exception):
    """The API answered with a problem. `status` and `problem` are what it said."""

    def __init__(self, status: int, problem: Any) -> None:
        super().__init__(f"{status}: {problem}")
        self.status = status
        self.problem = problem


class House:
    """`async with house() as h: await h.start()`. Addresses are on 127.0.0.1."""

    def __init__(
        self, folder: Path, registry: LabRegistry, environ: Mapping[str, str], engine_host: str,
        private: PrivateEngine | None = None,
    ) -> None:  # fmt: skip
        """With a `private` engine, o8, its nginx and its visitors are in that engine's network."""
        self.folder = folder
        self.registry = registry
        self.engine_host = engine_host
        self.private = private
        self.environ = dict(environ)
        self.data = folder / "data"
        self.port = int(environ["PORT"])
        self.http_port = int(environ["NGINX_HTTP_PORT"])
        self.subnet = IPv4Network(environ["O8_SUBNET"])
        self.secret = environ["GITHUB_WEBHOOK_SECRET"]
        self.password = environ["AUTH_PASSWORD"]  # of `admin`, for API and dashboard
        self.process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    # -- o8 itself

    async def start(self, command: Sequence[str] = SERVE) -> Self:
        """Starts o8 and waits until it answers on its socket."""
        with (self.folder / "o8.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  (returns at once, and is waited for by signals)
                (*self._inside, *command), cwd=Path(__file__).parent.parent, stdout=log, stderr=log,
                env=os.environ | {"PYTHONFAULTHANDLER": "1"} | self.environ,
            )  # fmt: skip
        await self.until(self._is_up, START_S)
        return self

    def kill(self) -> None:
        """SIGKILL, as the kernel or a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as systemd would."""
        self._end(signal.SIGTERM)

    async def died(self, within_s: float = 30) -> None:
        """Returns when o8 has ended by itself."""

        async def look() -> bool:
            return self.process is not None and self.process.poll() is not None

        await self.until(look, within_s)

    def log(self) -> str:
        return (self.folder / "o8.log").read_text(errors="replace")

    async def _is_up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"o8 ended instead of starting:\n{self.log()[-4000:]}")
        with contextlib.suppress(aiohttp.ClientError, OSError):
            return bool(await self.get("/services") is not None)
        return False

    def _end(self, number: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)  # Python writes what its threads do to the log
                self.process.wait(5)
                raise RuntimeError(f"o8 did not end:\n{self.log()[-6000:]}") from None

    # -- its API

    async def get(self, path: str) -> Any:
        return await self.call("GET", path)

    async def post(self, path: str, **body: Any) -> Any:
        return await self.call("POST", path, body)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """What `/api/v1{path}` answers; raises `Refused` on a problem."""
        if self._session is None:
            connector = aiohttp.UnixConnector(str(self.data / "o8.sock"))
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60))
        async with self._session.request(method, f"http://o8/api/v1{path}", json=body) as answer:
            content = await answer.json(content_type=None) if answer.content_type.endswith("json") else None
            if answer.status >= 400:
                raise Refused(answer.status, content if answer.status < 500 else f"{content}\n{self.log()[-6000:]}")
            return content

    async def apply(self, name: str, **more: Any) -> Any:
        """Adds or changes a service of this registry; short times unless said otherwise."""
        values = {
            "name": name, "image": self.registry.image(f"acme/{name}"), "port": 8080, "domains": [f"{name}.test"],
            "watch": 1, "stop_timeout": 5, "health": {"path": "/health", "within": 20},
        } | more  # fmt: skip
        return await self.call("PUT", f"/services/{name}", values)

    async def deploy(self, service: str, release: str = "", kind: str = "deploy") -> dict[str, Any]:
        body = {"kind": kind} | ({"release": release} if release else {})
        return dict(await self.call("POST", f"/services/{service}/deployments", body))

    async def newest(self, service: str) -> dict[str, Any]:
        """The newest deployment of `service`, empty when there is none."""
        found = await self.get(f"/deployments?service={service}&limit=1")
        items = found["deployments"] if isinstance(found, dict) else found
        return dict(items[0]) if items else {}

    async def ended(self, deployment: int, within_s: float = 60) -> dict[str, Any]:
        """A deployment at its ending."""
        return await self.reached(deployment, ENDINGS, within_s)

    async def is_live(self, deployment: int, within_s: float = 60) -> dict[str, Any]:
        """A deployment that serves, or has ended otherwise."""
        return await self.reached(deployment, (*LIVE, *ENDINGS), within_s)

    async def reached(self, deployment: int, states: Sequence[str], within_s: float = 60) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            found = dict(await self.get(f"/deployments/{deployment}"))
            return found if found["state"] in states else {}

        return dict(await self.until(look, within_s))

    async def until(self, look: Callable[[], Awaitable[Any]], within_s: float = 30) -> Any:
        """See `lab.waiting.until`; o8's own log is in the error."""
        try:
            return await until(look, within_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log()[-6000:]}") from None

    # -- its visitors

    async def visit(self, host: str, path: str = "/") -> tuple[int, str]:
        """Status and text of a fresh request through nginx."""
        if self.private:
            return await self._visit_inside(host, path)
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{self.http_port}{path}"
            async with session.get(url, headers={"Host": host}, allow_redirects=False) as answer:
                return answer.status, await answer.text()

    async def _visit_inside(self, host: str, path: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *self._inside, "curl", "--silent", "--max-time", "10", "--header", f"Host: {host}",
            "--write-out", "\n%{http_code}", f"http://127.0.0.1:{self.http_port}{path}", stdout=subprocess.PIPE,
        )  # fmt: skip
        text, _, status = (await process.communicate())[0].decode().rpartition("\n")
        if status == "000":
            raise ConnectionError(f"nobody answered for {host}")
        return int(status), text

    @property
    def _inside(self) -> tuple[str, ...]:
        return self.private.in_its_network if self.private else ()

    # -- its nginx

    def nginx_pids(self) -> list[int]:
        """Of the master, if there is one, and of all workers, also those of a master that was killed."""
        log = self.data / "nginx/error.log"
        return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _has_open(process, log)]

    async def close(self) -> None:
        """Ends o8 and its nginx. The engine's part is removed by `house`."""
        self.stop()
        if self._session is not None:
            await self._session.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            pids = self.nginx_pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            await asyncio.gather(*map(_gone, pids))


@asynccontextmanager
async def house(private: PrivateEngine | None = None, **settings: str) -> AsyncIterator[House]:
    """A house with everything but o8 running; `settings` are more of o8's variables.

    In the network of a `private` engine there is an open registry instead of one with a password.
    """
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="o8-house-")))
        if private:
            host, registry = private.host, LabRegistry(private.registry(), lambda _: {})
            place, account = Place("o8", IPv4Network("172.29.0.0/20")), ("", "")
        else:
            engine = ensure_engine()
            parts.callback(engine.stop)
            host, registry = engine.host, parts.enter_context(password_registry())
            place, account = parts.enter_context(free_subnet(host)), (USER, PASSWORD)
        http_port, port = free_port(), free_port()
        environ = {
            "PORT": str(port), "NGINX_MODE": "embedded", "NGINX_LISTEN": "127.0.0.1", "NGINX_HTTP_PORT": str(http_port),
            "O8_DATA_DIR": str(folder / "data"), "O8_NETWORK": place.network, "O8_SUBNET": str(place.subnet),
            "DOCKER_HOST": host, "DOCKER_SERVER_ADDRESS": registry.address, "DOCKER_USERNAME": account[0],
            "DOCKER_PASSWORD": account[1], "GITHUB_WEBHOOK_SECRET": secrets.token_hex(16),
            "AUTH_USERNAME": "admin", "AUTH_PASSWORD": secrets.token_urlsafe(12),
        } | settings  # fmt: skip
        found = House(folder, registry, environ, host, private)
        try:
            yield found
        finally:
            await found.close()


def _has_open(process: Path, file: Path) -> bool:
    with contextlib.suppress(OSError):  # it has just ended, or belongs to somebody else
        return any(handle.readlink() == file for handle in (process / "fd").iterdir())
    return False


async def _gone(pid: int, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.05)
