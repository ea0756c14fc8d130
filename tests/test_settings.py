"""Settings: read once, checked whole, and no secret ever shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import SECRETS, Settings, default_data_dir, load

LONG = "0123456789abcdef"


@pytest.fixture
def no_dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_nothing_needs_to_be_set(no_dotenv: Path) -> None:
    settings = load({"HOME": "/nowhere"}, no_dotenv)
    assert (settings.port, settings.bind, settings.docker_server_address) == (8080, "127.0.0.1", "ghcr.io")
    assert settings.webhook_secrets == ()


def test_no_default_is_a_secret() -> None:
    for name in SECRETS:
        assert Settings.model_fields[name.lower()].default.get_secret_value() == ""


def test_the_environment_wins_over_the_file_and_empty_means_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nBIND=127.0.0.2\nBASE_DOMAIN=\n# comment\n")
    settings = load({"PORT": "2222", "BIND": ""}, tmp_path / ".env")
    assert (settings.port, settings.bind, settings.base_domain) == (2222, "127.0.0.2", "")


def test_every_problem_is_in_one_message(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("this is no line\n")
    environ = {
        "PORT": "http", "O8_SUBNET": "8.8.0.0/16", "NGINX_MODE": "apache", "POLL_INTERVAL": "1", "BASE_DOMAIN": "A B",
        "GITHUB_WEBHOOK_SECRET": "short", "SLACK_BOT_TOKEN_FILE": str(tmp_path / "missing"),
        "DOCKER_SERVER_ADDRESS": "https://ghcr.io",
    }  # fmt: skip
    with pytest.raises(SettingsError) as refused:
        load(environ, tmp_path / ".env")
    assert len(refused.value.problems) == len(environ) + 1
    for name in environ:
        assert any(problem.startswith(f"{name} = ") for problem in refused.value.problems), name
    assert "PORT = 'http'" in str(refused.value) and "8.8.0.0/16" in str(refused.value)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{LONG}\n")
    beside = {"DOCKER_USERNAME": "bot"} | ({"GITHUB_APP_ID": "Iv23"} if name == "GITHUB_APP_KEY" else {})
    settings = load({f"{name}_FILE": str(tmp_path / "secret"), **beside}, tmp_path / ".env")
    assert getattr(settings, name.lower()).get_secret_value() == LONG


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_given_twice_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(LONG)
    with pytest.raises(SettingsError, match=f"{name} and {name}_FILE are both set") as refused:
        load({name: "x" + LONG, f"{name}_FILE": str(tmp_path / "secret")}, tmp_path / ".env")
    assert LONG not in str(refused.value)


def test_a_secret_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"GITHUB_PAT_FILE = .* cannot be read"):
        load({"GITHUB_PAT_FILE": str(tmp_path / "secret")}, tmp_path / ".env")


def test_no_secret_is_ever_in_a_message_or_a_print(tmp_path: Path) -> None:
    canary = "canary-value-7f3a"
    beside = {"DOCKER_USERNAME": "bot", "GITHUB_APP_ID": "Iv23"}
    good = load(dict.fromkeys(SECRETS, canary) | beside, tmp_path / ".env")
    assert canary not in repr(good) and canary not in str(good) and canary not in good.model_dump_json()
    environ = dict.fromkeys(SECRETS, canary) | {"GITHUB_WEBHOOK_SECRET": "canary", "PORT": "x"}
    (tmp_path / ".env").write_text(f"GITHUB_PAT={canary}\nbroken {canary}\n")
    with pytest.raises(SettingsError) as refused:
        load(environ, tmp_path / ".env")
    assert "canary" not in str(refused.value)
    assert "GITHUB_WEBHOOK_SECRET = (hidden)" in str(refused.value)


def test_several_webhook_secrets_are_active_while_one_is_replaced(no_dotenv: Path) -> None:
    settings = load({"GITHUB_WEBHOOK_SECRET": f" {LONG}1 ,{LONG}2,"}, no_dotenv)
    assert settings.webhook_secrets == (f"{LONG}1".encode(), f"{LONG}2".encode())
    with pytest.raises(SettingsError, match="at least 16 characters"):
        load({"GITHUB_WEBHOOK_SECRET": f"{LONG},short"}, no_dotenv)


def test_the_registry_password_is_the_github_token_unless_there_is_another(no_dotenv: Path) -> None:
    assert load({"GITHUB_PAT": "pat"}, no_dotenv).registry_password == "pat"
    both = {"GITHUB_PAT": "pat", "DOCKER_PASSWORD": "own", "DOCKER_USERNAME": "bot"}
    assert load(both, no_dotenv).registry_password == "own"
    with pytest.raises(SettingsError, match="DOCKER_USERNAME is needed too"):
        load({"DOCKER_PASSWORD": "own"}, no_dotenv)


@pytest.mark.parametrize("subnet", ["10.0.0.0/23", "8.8.0.0/16", "172.29.0.1/16", "fd00::/64", "everywhere"])
def test_a_subnet_must_be_private_and_have_room(subnet: str, no_dotenv: Path) -> None:
    with pytest.raises(SettingsError, match="O8_SUBNET = "):
        load({"O8_SUBNET": subnet}, no_dotenv)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("", None), ("127.0.0.1:9108", ("127.0.0.1", 9108)), ("10.1.2.3:1", ("10.1.2.3", 1)),
        ("[::1]:9108", ("::1", 9108)), ("[fd00::1]:65535", ("fd00::1", 65535)),
    ],
)  # fmt: skip
def test_metrics_may_be_read_inside(value: str, address: object, no_dotenv: Path) -> None:
    assert load({"METRICS_BIND": value}, no_dotenv).metrics_address == address


@pytest.mark.parametrize(
    "value",
    [
        "0.0.0.0:9108", "[::]:9108", "8.8.8.8:9108", "[2001:4860:4860::8888]:80", "localhost:9108", "127.0.0.1", "9108",
        ":9108", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999", "300.0.0.1:80", "127.0.0.1:9108\n", "::1:9108",
        "[127.0.0.1]:80", "[:::1]:80", "224.0.0.1:9108",
    ],
)  # fmt: skip
def test_metrics_without_a_login_are_for_nobody_outside(value: str, no_dotenv: Path) -> None:
    with pytest.raises(SettingsError, match="METRICS_BIND"):
        load({"METRICS_BIND": value}, no_dotenv)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "0"), ("PORT", "65536"), ("BIND", "localhost"), ("O8_NETWORK", "a b"), ("O8_PLACES", "0"),
     ("NGINX_LISTEN", "eth0"), ("BASE_DOMAIN", "example.org;"), ("DOCKER_SERVER_ADDRESS", "ghcr.io/acme")],
)  # fmt: skip
def test_values_outside_the_grammar_are_refused_by_name(name: str, value: str, no_dotenv: Path) -> None:
    with pytest.raises(SettingsError, match=f"{name} = '{value}'"):
        load({name: value}, no_dotenv)


def test_files_live_in_the_data_folder(no_dotenv: Path) -> None:
    settings = load({"O8_DATA_DIR": "/data"}, no_dotenv)
    assert (settings.database, settings.socket) == (Path("/data/o8.sqlite"), Path("/data/o8.sock"))
    assert settings.volumes_dir == Path("/data/volumes")


def test_the_folder_of_the_original_is_used_when_it_is_there(tmp_path: Path) -> None:
    before = default_data_dir({"HOME": str(tmp_path)})
    assert before in (Path("/var/lib/orchestr8"), tmp_path / ".local/share/orchestr8")
    (tmp_path / ".dckr").mkdir()
    assert default_data_dir({"HOME": str(tmp_path)}) == tmp_path / ".dckr"


def test_folders_that_may_not_be_looked_into_are_no_trouble(tmp_path: Path) -> None:
    """As after `sudo -u orchestr8 o8 doctor` in the home of root."""
    source = (
        "import os, sys; from pathlib import Path; from bot.settings import data_dir\n"
        "os.chdir(sys.argv[1]); os.chmod(sys.argv[1], 0)\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "print(data_dir({'HOME': sys.argv[1]}, Path('.env')))"
    )
    locked = tmp_path / "root"
    locked.mkdir()
    command = [sys.executable, "-c", source, str(locked)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) in (Path("/var/lib/orchestr8"), locked / ".local/share/orchestr8")


def test_settings_do_not_change(no_dotenv: Path) -> None:
    with pytest.raises(Exception, match="frozen"):
        load({}, no_dotenv).port = 1  # type: ignore[misc]
