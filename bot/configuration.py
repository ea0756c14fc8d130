"""What a service file says: every key, its grammar and its default. Pure.

To add a key: a field here with a `description`, and a line in docs/services.md (a test holds both together).
Values reach nginx and Docker, so each string has a strict grammar; there is no free text.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from ipaddress import ip_network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from bot.errors import InvalidInput
from bot.problems import Problem, explain, matching


def _exists(network: str) -> str:
    try:
        ip_network(network)
    except ValueError as problem:
        raise ValueError(f"{problem}; expected an address or network such as `10.0.0.0/8`") from None
    return network


ServiceName = Annotated[
    str,
    matching(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "1 to 63 lower-case letters, digits and -, with no - at either end",
    ),
]
Size = Annotated[str, matching(r"^[1-9][0-9]{0,8}[kmgKMG]?$", "a size such as `256m` or `2g`", to_lower=True)]
Domain = Annotated[
    str,
    matching(
        r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "a host name in lower case such as `web.example.org`",
        max_length=253,
    ),
]
UrlPath = Annotated[
    str, matching(r"^/[A-Za-z0-9._~/%&=?-]*$", "a path such as `/health`, of plain URL characters", max_length=512)
]
FilePath = Annotated[
    str, matching(r"^(/[A-Za-z0-9._-]+)+$", "an absolute path of letters, digits and . _ -", max_length=512)
]
ImageName = Annotated[
    str,
    matching(
        r"^[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+$",
        "registry/name without a tag, in lower case, such as `ghcr.io/acme/web`",
        max_length=255,
    ),
]
Tag = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$",
        "a tag: 1 to 128 letters, digits and . _ -, not starting with . or -",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
HostPort = Annotated[
    str,
    matching(
        r"^(([0-9]{1,3}\.){3}[0-9]{1,3}:)?[1-9][0-9]{0,4}$",
        "a port or address:port, such as `8080` or `127.0.0.1:8080`",
    ),
]
Argument = Annotated[str, matching(r"^[^\x00]*$", "text without zero bytes", max_length=4096)]
Network = Annotated[
    str,
    matching(r"^[0-9a-f.:]{2,45}(/[0-9]{1,3})?$", "an address or network such as `10.0.0.0/8`"),
    AfterValidator(_exists),
]
HeaderName = Annotated[str, matching(r"^[A-Za-z][A-Za-z0-9-]{0,63}$", "a header name such as `X-Forwarded-For`")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Follow(_Section):
    """Which tags the service follows, and whether new ones deploy by themselves."""

    policy: Literal["numeric", "semver", "regex", "tag"] = Field(
        "numeric", description="`numeric` (0004, 0005, ...), `semver`, `regex` (newest push) or `tag` (one moving tag)"
    )
    range: Annotated[str, StringConstraints(max_length=200)] = Field(
        "", description="semver only: comparisons that must all hold, such as `>=1.2.0 <2.0.0`; empty means any"
    )
    pattern: Annotated[str, StringConstraints(max_length=200)] = Field(
        "", description="regex only: what the whole tag must match, such as `main-[0-9a-f]{7}`"
    )
    tag: Tag | Literal[""] = Field("", description="tag only: the moving tag, such as `main`")
    auto_deploy: Literal["on", "approve", "off"] = Field(
        "on", description="`on` deploys a newer tag by itself, `approve` waits for a person, `off` ignores it"
    )

    @model_validator(mode="after")
    def _policy_has_its_key(self) -> Self:
        needed = {"regex": ("pattern", self.pattern), "tag": ("tag", self.tag)}.get(self.policy)
        if needed and not needed[1]:
            raise ValueError(f'policy "{self.policy}" needs the key "{needed[0]}"')
        for owner, key, value in (
            ("semver", "range", self.range),
            ("regex", "pattern", self.pattern),
            ("tag", "tag", self.tag),
        ):
            if value and self.policy != owner:
                raise ValueError(f'key "{key}" belongs to policy "{owner}", not "{self.policy}"')
        if self.pattern:
            try:
                re.compile(self.pattern)
            except re.error as problem:
                raise ValueError(f'pattern "{self.pattern}" is not a regular expression: {problem}') from None
        return self


class Limits(_Section):
    """What each container may use."""

    memory: Size = Field("512m", description="memory of each container, without extra swap: `256m`, `2g`")
    cpus: float = Field(1.0, ge=0.01, le=1024, description="processors of each container, such as `0.5`")
    pids: int = Field(512, ge=16, le=65536, description="processes and threads of each container")
    log_size: Size = Field("10m", description="size at which a container's log file is rotated")
    log_files: int = Field(3, ge=1, le=100, description="how many rotated log files are kept")


class Health(_Section):
    """How a candidate shows that it may serve."""

    kind: Literal["http", "tcp", "image"] = Field(
        "http", description="`http` asks a path, `tcp` opens a connection, `image` uses the image's HEALTHCHECK"
    )
    path: UrlPath = Field("/", description="http only: the path asked, with the first domain as Host")
    expect: Annotated[str, matching(r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$", "a status or a range such as `200-399`")] = (
        Field("200-399", description="http only: statuses that pass; redirects are not followed")
    )
    within: int = Field(60, ge=1, le=3600, description="seconds a candidate has to become healthy")

    @model_validator(mode="after")
    def _something_can_pass(self) -> Self:
        low, _, high = self.expect.partition("-")
        if int(low) > int(high or low):
            raise ValueError(f'expect = "{self.expect}" lets nothing pass; the lower status comes first')
        return self


class Site(_Section):
    """The nginx site in front of the service."""

    max_body_size: Size = Field("10m", description="largest request body nginx lets through")
    timeout: int = Field(60, ge=1, le=86400, description="seconds nginx waits for the service between two reads")
    buffering: bool = Field(False, description="true lets nginx collect answers; false suits event streams")
    tls: Literal["off", "auto", "snippet", "certificate"] = Field(
        "off",
        description=(
            "`auto` gets and renews a certificate by ACME, `snippet` includes the file of `NGINX_SNIPPET`, "
            "`certificate` uses the two files below"
        ),
    )
    certificate: FilePath | Literal[""] = Field("", description="tls = certificate: full chain in PEM")
    key: FilePath | Literal[""] = Field("", description="tls = certificate: private key in PEM")
    redirect_to_https: bool = Field(True, description="with TLS: plain HTTP answers 301 to HTTPS")
    http2: bool = Field(True, description="with TLS: offer HTTP/2")
    hsts: bool = Field(False, description="with TLS: Strict-Transport-Security for one year")
    trusted_proxies: tuple[Network, ...] = Field(
        (), max_length=64, description="networks whose `client_address_header` is believed"
    )
    client_address_header: HeaderName = Field("X-Forwarded-For", description="header that names the real client")

    @model_validator(mode="after")
    def _certificate_has_both_files(self) -> Self:
        if self.tls == "certificate" and not (self.certificate and self.key):
            raise ValueError('tls = "certificate" needs both "certificate" and "key"')
        return self


class Volume(_Section):
    """A folder that outlives the containers, kept under `O8_DATA_DIR/volumes/<service>/<name>`."""

    name: Annotated[
        str,
        matching(
            r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$",
            "1 to 63 lower-case letters, digits, _ and -, starting and ending with a letter or digit",
        ),
    ] = Field(description="name of the folder")
    path: FilePath = Field(description="where the container sees it")
    exclusive: bool = Field(
        False, description='true when two containers must never use it at once; needs strategy = "recreate"'
    )

    @model_validator(mode="after")
    def _path_is_plain(self) -> Self:
        if ".." in PurePosixPath(self.path).parts:
            raise ValueError('volume path must not contain ".."')
        return self


class Configuration(_Section):
    """One service file, whole. Raises `ValidationError`; use `read` for a clear message."""

    name: ServiceName = Field(description="the service's name")
    image: ImageName = Field(description="repository without tag, such as `ghcr.io/acme/web`; lower case")
    port: Port = Field(description="port the container listens on")
    domains: tuple[Domain, ...] = Field((), max_length=32, description="host names; empty means `<name>.BASE_DOMAIN`")
    host_port: HostPort | Literal[""] = Field(
        "", description="also listen on this port of the machine: `8080` or `127.0.0.1:8080`"
    )
    replicas: int = Field(1, ge=1, le=8, description="containers at the same time")
    strategy: Literal["switch", "recreate"] = Field(
        "switch", description="`switch` loses no request; `recreate` stops first, with a maintenance page meanwhile"
    )
    command: tuple[Argument, ...] = Field((), max_length=64, description="replaces the image's command")
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = Field(
        "unless-stopped", description="what Docker does when a container exits"
    )
    stop_timeout: int = Field(30, ge=1, le=3600, description="seconds between SIGTERM and SIGKILL")
    drain_timeout: int = Field(30, ge=3, le=3600, description="seconds to wait for open requests of the old release")
    watch: int = Field(60, ge=0, le=3600, description="seconds a new release is watched before the old one stops")
    keep_releases: int = Field(5, ge=1, le=100, description="releases whose images are kept for rollback")
    follow: Follow = Field(Follow(), description="which tags, and when")
    limits: Limits = Field(Limits(), description="memory, processors, processes, log size")
    health: Health = Field(Health(), description="when a candidate may serve")
    site: Site = Field(Site(), description="the nginx site")
    volumes: tuple[Volume, ...] = Field((), max_length=32, description="folders that outlive the containers")

    @model_validator(mode="after")
    def _whole_makes_sense(self) -> Self:
        if len(set(self.domains)) != len(self.domains):
            raise ValueError("domains must not repeat")
        if len({v.name for v in self.volumes}) != len(self.volumes):
            raise ValueError("volume names must not repeat")
        if any(v.exclusive for v in self.volumes) and self.strategy != "recreate":
            raise ValueError('an exclusive volume needs strategy = "recreate"')
        if self.strategy == "recreate" and self.replicas > 1:
            raise ValueError('strategy = "recreate" runs one replica')
        if self.host_port:
            address, _, port = self.host_port.rpartition(":")
            if int(port) > 65535 or any(int(part) > 255 for part in address.split(".") if part):
                raise ValueError(f'host_port "{self.host_port}" is not a port or address:port')
        return self

    @property
    def fingerprint(self) -> str:
        """Same value = the same containers and the same site. Policy (`follow`) is left out: it needs no deployment."""
        return hashlib.sha256(
            orjson.dumps(self.model_dump(exclude={"follow", "keep_releases"}), option=orjson.OPT_SORT_KEYS)
        ).hexdigest()


def read(values: dict[str, Any]) -> Configuration:
    """Checks a service file's values whole; raises `InvalidInput` naming every wrong key and what was expected."""
    try:
        return Configuration.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(
            "The service file is wrong: " + "; ".join(map(_in_words, explain(error))) + ".",
            "docs/services.md explains every key.",
        ) from None


def read_toml(text: str) -> Configuration:
    """Reads a service file; raises `InvalidInput` when it is no TOML or a key is wrong."""
    try:
        return read(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"The service file is not TOML: {error}.", "docs/services.md has an example.") from None


def as_toml(configuration: Configuration) -> list[str]:
    """The lines of a service file, without defaults. Text, numbers and lists are written alike in TOML and in JSON."""
    values = configuration.model_dump(mode="json", exclude_defaults=True)
    volumes = values.pop("volumes", [])
    sections = [("[" + key + "]", values.pop(key)) for key in list(values) if isinstance(values[key], dict)]
    sections += [("[[volumes]]", volume) for volume in volumes]
    lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in values.items()]
    for head, keys in sections:
        lines += ["", head, *(f"{key} = {orjson.dumps(value).decode()}" for key, value in keys.items())]
    return lines


def _in_words(problem: Problem) -> str:
    where = problem.where or "file"
    if problem.text.startswith("is "):
        return f"{where} {problem.text}"
    found = "" if isinstance(problem.found, dict) else f" = {problem.found!r:.80}"
    return f"{where}{found}: {problem.text}"
