"""What can be set, and what each value must look like.

To add one: a field here with a `description`, and a row in docs/settings.md (a test holds both together).
Any of the `SECRETS` may be given as `NAME_FILE` instead, a path to a file that holds the value.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from bot.configuration import Domain, Port
from bot.problems import matching

SECRETS = (
    "GITHUB_PAT",
    "GITHUB_APP_KEY",
    "DOCKER_PASSWORD",
    "GITHUB_WEBHOOK_SECRET",
    "AUTH_PASSWORD",
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_APP_TOKEN",
    "O8_SECRET_KEY",
)
_EMPTY = SecretStr("")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")


class Settings(BaseModel):
    """All settings of one o8; frozen. Field names are the variables' names in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    port: Port = Field(8080, description="TCP port of o8 itself: webhooks, API, dashboard")
    bind: Annotated[str, matching(r"^[0-9a-f.:]+$", "an IP address such as 127.0.0.1")] = Field(
        "127.0.0.1", description="address o8 listens on; nginx stands in front"
    )
    base_domain: Domain | Literal[""] = Field("", description="services without domains get `<name>.BASE_DOMAIN`")

    github_webhook_secret: SecretStr = Field(
        _EMPTY, description="secret of the GitHub webhook; several, comma-separated, while one is being replaced"
    )
    github_pat: SecretStr = Field(_EMPTY, description="classic token with `read:packages`")
    github_api_url: Annotated[str, matching(r"^https?://[a-z0-9.:/-]+$", "such as https://api.github.com")] = Field(
        "https://api.github.com", description="where GitHub's REST API is"
    )
    github_owners: Annotated[
        str, matching(r"^([A-Za-z0-9-]{1,39}( *, *[A-Za-z0-9-]{1,39})*)?$", "names, comma-separated")
    ] = Field("", description="organizations and users whose packages can be installed; empty: those in use")
    github_auto_install: Annotated[
        str, matching(r"^([A-Za-z0-9-]{1,39}( *, *[A-Za-z0-9-]{1,39})*)?$", "names, comma-separated")
    ] = Field("", description="owners whose new packages become services by themselves; others are offered by a card")
    github_app_id: Annotated[str, matching(r"^[A-Za-z0-9._-]{0,64}$", "the App's client id or number")] = Field(
        "", description="GitHub App: its client id; without an App GITHUB_PAT does what it may"
    )
    github_app_key: SecretStr = Field(_EMPTY, description="GitHub App: its private key in PEM")
    public_url: Annotated[
        str, matching(r"^(https?://[a-z0-9.-]+(:[0-9]{1,5})?)?$", "such as https://o8.example.org, without a path")
    ] = Field("", description="where the internet reaches o8: for webhooks that o8 sets up, and for links to its pages")
    docker_server_address: Annotated[
        str, matching(r"^[a-z0-9.-]+(:[0-9]{1,5})?$", "a host name in lower case, with a port where needed")
    ] = Field("ghcr.io", description="registry that the credentials belong to")
    docker_username: str = Field("", description="user name at the registry; empty means anonymous")
    docker_password: SecretStr = Field(_EMPTY, description="password or token at the registry; default `GITHUB_PAT`")
    poll_interval: int = Field(600, ge=10, le=86400, description="seconds between two looks at the followed tags")

    docker_host: str = Field("unix:///var/run/docker.sock", description="where the Docker Engine listens")
    o8_network: Annotated[
        str, matching(r"^[a-z0-9][a-z0-9_.-]{0,62}$", "1 to 63 lower-case letters, digits and _ . -")
    ] = Field("o8", description="name of o8's own bridge network")
    o8_subnet: IPv4Network = Field(
        IPv4Network("172.29.0.0/16"), description="addresses of that network; must be free on this machine"
    )

    nginx_mode: Literal["auto", "system", "embedded"] = Field(
        "auto", description="`system`: files in NGINX_MANAGED_DIR; `embedded`: o8 runs its own nginx; `auto` chooses"
    )
    nginx_binary: str = Field("nginx", description="the nginx program, for embedded mode and for testing copies")
    nginx_managed_dir: Path = Field(
        Path("/etc/nginx/sites-available/api-managed"), description="system mode: folder that nginx.conf includes"
    )
    nginx_test_command: str = Field("sudo -n nginx -t", description="system mode: tests the whole configuration")
    nginx_reload_command: str = Field("sudo -n systemctl reload nginx", description="system mode: reloads nginx")
    nginx_socket: Path | None = Field(
        None, description="system mode: socket where root tests and reloads nginx, instead of the two commands"
    )
    tls_email: Annotated[str, matching(r"^([^@\s\"']+@[^@\s\"']+)?$", "an address, or nothing")] = Field(
        "", description='`tls = "auto"`: where the authority writes when a certificate is about to end'
    )
    tls_dns_hook: str = Field(
        "", description='`tls = "auto"`: program that proves wildcards by DNS, called with `auth` or `cleanup`'
    )
    acme_server: Annotated[str, matching(r"^https://[A-Za-z0-9.:/_-]+$", "the https address of its directory")] = Field(
        "https://acme-v02.api.letsencrypt.org/directory", description='`tls = "auto"`: the authority'
    )
    certbot_command: str = Field("certbot", description='`tls = "auto"`: the certbot program, with its options')
    nginx_snippet: str = Field("", description='file that sites with `tls = "snippet"` include')
    nginx_listen: Annotated[
        str, matching(r"^([0-9]{1,3}(\.[0-9]{1,3}){3})?$", "an IPv4 address such as 127.0.0.1, or nothing")
    ] = Field("", description="address that sites listen on; empty means all")
    nginx_http_port: Port = Field(80, description="port of the sites")
    nginx_https_port: Port = Field(443, description="TLS port of the sites")

    o8_data_dir: Path = Field(Path(), description="o8's own folder (mode 0700): database, key, socket, volumes")
    o8_secret_key: SecretStr = Field(
        _EMPTY, description="key of the encrypted environment values; made in the data folder on first start"
    )
    o8_places: int = Field(2, ge=1, le=32, description="deployments at the same time, counted up to the switch")

    auth_username: Annotated[
        str, matching(r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$", "lower-case letters, digits and . _ -", to_lower=True)
    ] = Field("admin", description="global admin of API and dashboard, who is in no table")
    auth_password: SecretStr = Field(
        _EMPTY, description="password of that admin; without it one is made at the first start, and logged once"
    )
    allowed_origins: str = Field(
        "", description="comma-separated origins whose pages may call the API, such as `https://ops.example.org`"
    )
    slack_bot_token: SecretStr = Field(_EMPTY, description="Slack bot token `xoxb-...`")
    slack_signing_secret: SecretStr = Field(_EMPTY, description="Slack signing secret")
    slack_app_token: SecretStr = Field(_EMPTY, description="Slack app token `xapp-...`: Socket Mode")
    slack_channel: Annotated[
        str, matching(r"^(#?[a-z0-9_-]{1,80}|[CG][A-Z0-9]{2,20})?$", "a channel such as #deployments, or its id")
    ] = Field("#deployments", description="channel of the cards, unless a service has its own (`/o8 route`)")
    slack_quiet_hours: Annotated[
        str,
        matching(
            r"^([0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]( [A-Za-z_+-]+(/[A-Za-z0-9_+-]+)*)?)?$",
            "such as 22:00-07:00 Europe/Berlin, or nothing",
        ),
    ] = Field("", description="when only trouble is told in the channel; what went well follows afterwards")
    metrics_bind: Annotated[
        str, matching(r"^(([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{1,5}|\[[0-9a-f:]+\]:[0-9]{1,5})?$",
                      "an address and port such as 127.0.0.1:9108, or nothing")
    ] = Field("", description="private address and port where /metrics answers without a login")  # fmt: skip
    slack_api_url: str = Field("https://slack.com/api/", description="where Slack's Web API is")

    @field_validator("o8_subnet")
    @classmethod
    def _room_for_services(cls, value: IPv4Network) -> IPv4Network:
        if not value.is_private or value.prefixlen > 22:
            raise ValueError("must be a private network of /22 or larger, such as 172.29.0.0/16")
        return value

    @field_validator("github_webhook_secret")
    @classmethod
    def _secrets_are_long(cls, value: SecretStr) -> SecretStr:
        if any(len(part) < 16 for part in _split(value.get_secret_value())):
            raise ValueError("each secret must have at least 16 characters; `openssl rand -hex 32` makes one")
        return value

    @field_validator("github_app_key")
    @classmethod
    def _key_has_lines(cls, value: SecretStr) -> SecretStr:
        """A `.env` without quotes, and many a secret store, keep the line ends of PEM as backslash and n."""
        return SecretStr(value.get_secret_value().replace("\\n", "\n"))

    @model_validator(mode="after")
    def _app_is_whole(self) -> Self:
        if bool(self.github_app_id) != bool(self.github_app_key.get_secret_value()):
            raise ValueError("GITHUB_APP_ID and GITHUB_APP_KEY belong together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _password_has_a_name(self) -> Self:
        if self.docker_password.get_secret_value() and not self.docker_username:
            raise ValueError("DOCKER_PASSWORD is set, so DOCKER_USERNAME is needed too")
        return self

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_origins(cls, value: str) -> str:
        wrong = [part for part in _split(value) if not _ORIGIN.fullmatch(part)]
        if wrong:
            raise ValueError(f"{wrong[0]!r:.80} is no origin; expected such as https://ops.example.org, without a path")
        return value

    @field_validator("metrics_bind")
    @classmethod
    def _metrics_stay_inside(cls, value: str) -> str:
        if found := _address(value):
            address = ip_address(found[0])
            is_inside = address.is_loopback or (address.is_private and not address.is_unspecified)
            if not is_inside or not 1 <= found[1] <= 65535:
                raise ValueError("must be a loopback or private address, as nobody is asked who they are; "
                                 "such as 127.0.0.1:9108")  # fmt: skip
        return value

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port of METRICS_BIND; None when it is not set."""
        return _address(self.metrics_bind)

    @property
    def owners(self) -> tuple[str, ...]:
        """GITHUB_OWNERS."""
        return tuple(_split(self.github_owners))

    @property
    def auto_install_owners(self) -> frozenset[str]:
        """GITHUB_AUTO_INSTALL, in lower case."""
        return frozenset(_split(self.github_auto_install.lower()))

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(_split(self.allowed_origins))

    @property
    def webhook_secrets(self) -> tuple[bytes, ...]:
        """Active webhook secrets; empty means the endpoint is off."""
        return tuple(part.encode() for part in _split(self.github_webhook_secret.get_secret_value()))

    @property
    def registry_password(self) -> str:
        return self.docker_password.get_secret_value() or self.github_pat.get_secret_value()

    @property
    def database(self) -> Path:
        return self.o8_data_dir / "o8.sqlite"

    @property
    def socket(self) -> Path:
        return self.o8_data_dir / "o8.sock"

    @property
    def certificates_dir(self) -> Path:
        return self.o8_data_dir / "certificates"

    @property
    def volumes_dir(self) -> Path:
        return self.o8_data_dir / "volumes"


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if text else None


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
