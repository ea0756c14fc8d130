"""A GitHub App: its JWT, the tokens of its installations, and clocks that differ."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bot.errors import GitHubNotInstalled, GitHubRefused, SettingsError
from bot.github import AppLogin, GitHub, login
from bot.settings import load
from lab.github_api import FakeGitHub, apps
from lab.github_api.apps import CLIENT_ID

PKCS8, PLAIN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
PEM, INFO = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
TOKENS = "POST /app/installations/11/access_tokens"


@pytest.fixture
def app(api: FakeGitHub) -> AppLogin:
    api.installations["acme"] = 11
    return AppLogin(CLIENT_ID, api.app_key)


def asked_for_tokens(api: FakeGitHub) -> int:
    return api.asked.count(TOKENS)


async def look(github: GitHub, app: AppLogin, owner: str = "acme") -> int:
    return (await github.get("/installation/repositories", app.of(owner))).status


# The JWT


@pytest.mark.slow
async def test_the_jwt_is_what_github_wants(api: FakeGitHub, github: GitHub, app: AppLogin) -> None:
    assert (await github.get("/app", app)).body["slug"] == "orchestr8"
    token = (await app.authorization(github)).removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert claims["iss"] == CLIENT_ID
    assert claims["iat"] <= time.time() - 59
    assert claims["exp"] - time.time() <= 600


@pytest.mark.slow
@pytest.mark.parametrize("ahead_s", [-50, -5, 0, 5, 50])
async def test_clocks_may_differ(api: FakeGitHub, github: GitHub, app: AppLogin, ahead_s: float) -> None:
    api.clock_ahead_s = ahead_s
    assert await look(github, app) == 200


@pytest.mark.slow
@pytest.mark.parametrize("ahead_s", [-300, 700])
async def test_a_clock_that_is_far_off_is_refused(
    api: FakeGitHub, github: GitHub, app: AppLogin, ahead_s: float
) -> None:
    """The control: the stand-in looks at the times."""
    api.clock_ahead_s = ahead_s
    with pytest.raises(GitHubRefused, match="claim"):
        await github.get("/app", app)


@pytest.mark.slow
async def test_a_number_as_the_id_is_sent_as_text(api: FakeGitHub, github: GitHub) -> None:
    with pytest.raises(GitHubRefused, match="iss"):
        await github.get("/app", AppLogin("123456", api.app_key))


# The key


def rsa_pem() -> str:
    return rsa.generate_private_key(65537, 2048).private_bytes(PEM, PKCS8, PLAIN).decode()


@pytest.mark.parametrize("way", ["text", "one line", "file", "crlf", "dotenv"])
def test_the_key_may_be_text_or_a_file(tmp_path: Path, way: str) -> None:
    key = rsa_pem()
    values, dotenv = {"GITHUB_APP_ID": CLIENT_ID, "O8_DATA_DIR": str(tmp_path)}, tmp_path / ".env"
    one_line = key.replace("\n", "\\n")
    if way == "file":
        (tmp_path / "app.pem").write_text(key)
        values["GITHUB_APP_KEY_FILE"] = str(tmp_path / "app.pem")
    elif way == "dotenv":
        dotenv.write_text(f"GITHUB_APP_KEY={one_line}\n")
    else:
        values["GITHUB_APP_KEY"] = {"text": key, "one line": one_line, "crlf": key.replace("\n", "\r\n")}[way]
    settings = load(values, dotenv)
    AppLogin(settings.github_app_id, settings.github_app_key.get_secret_value())


def test_a_quoted_key_in_dotenv_is_read(tmp_path: Path) -> None:
    key = rsa_pem()
    (tmp_path / ".env").write_text('GITHUB_APP_ID=7\nGITHUB_APP_KEY="' + key.replace("\n", "\\n") + '"\n')
    assert load({}, tmp_path / ".env").github_app_key.get_secret_value().strip() == key.strip()


def wrong_keys() -> dict[str, str]:
    own, elliptic = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(b"pass")
    return {
        "text": "hunter2", "empty": "", "cut": rsa_pem()[:400],
        "public": own.public_key().public_bytes(PEM, INFO).decode(),
        "elliptic": elliptic.private_bytes(PEM, PKCS8, PLAIN).decode(),
        "edwards": edwards.private_bytes(PEM, PKCS8, PLAIN).decode(),
        "encrypted": own.private_bytes(PEM, PKCS8, locked).decode(),
    }  # fmt: skip


def test_a_wrong_key_is_said_and_not_shown() -> None:
    for name, key in wrong_keys().items():
        with pytest.raises(SettingsError, match="GITHUB_APP_KEY") as caught:
            AppLogin(CLIENT_ID, key)
        assert not key or key not in str(caught.value), name


# Tokens of an installation


@pytest.mark.slow
async def test_a_token_is_kept_and_used_again(api: FakeGitHub, github: GitHub, app: AppLogin) -> None:
    for _ in range(3):
        assert await look(github, app) == 200
    assert await look(github, app, "ACME") == 200
    assert asked_for_tokens(api) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("life_s", "made"), [(login.RENEWED_S + 60, 1), (login.RENEWED_S - 60, 3)])
async def test_a_token_is_renewed_before_it_ends(
    api: FakeGitHub, github: GitHub, app: AppLogin, monkeypatch: pytest.MonkeyPatch, life_s: float, made: int
) -> None:
    monkeypatch.setattr(apps, "LIFE_S", life_s)
    for _ in range(3):
        assert await look(github, app) == 200
    assert asked_for_tokens(api) == made


@pytest.mark.slow
async def test_a_revoked_token_is_renewed(
    api: FakeGitHub, github: GitHub, app: AppLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await look(github, app)
    monkeypatch.setattr(login, "YOUNG_S", 0.0)
    api.issued.clear()
    assert await look(github, app) == 200
    assert asked_for_tokens(api) == 2


@pytest.mark.slow
async def test_many_callers_renew_once(
    api: FakeGitHub, github: GitHub, app: AppLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await asyncio.gather(*(look(github, app) for _ in range(20))) == [200] * 20
    assert asked_for_tokens(api) == 1
    monkeypatch.setattr(login, "YOUNG_S", 0.0)
    api.issued.clear()
    assert await asyncio.gather(*(look(github, app) for _ in range(20))) == [200] * 20
    assert asked_for_tokens(api) == 2


@pytest.mark.slow
async def test_a_young_token_that_is_refused_at_first_is_used_again(
    api: FakeGitHub, github: GitHub, app: AppLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "YOUNG_PAUSE_S", 0.01)
    api.young_refusals = 3
    assert await look(github, app) == 200
    assert asked_for_tokens(api) == 1


@pytest.mark.slow
async def test_a_token_that_is_never_taken_is_given_up(
    api: FakeGitHub, github: GitHub, app: AppLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "YOUNG_PAUSE_S", 0.01)
    api.young_refusals = 10**6
    with pytest.raises(GitHubRefused, match="Bad credentials"):
        await look(github, app)
    assert len(api.asked) < 12


@pytest.mark.slow
async def test_where_the_app_is_not_installed_the_sentence_says_what_to_do(
    api: FakeGitHub, github: GitHub, app: AppLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GitHubNotInstalled, match=r"not installed at initech\..* Install App"):
        await look(github, app, "initech")
    asked = len(api.asked)
    with pytest.raises(GitHubNotInstalled):
        await look(github, app, "initech")
    assert len(api.asked) == asked  # remembered for a while
    monkeypatch.setattr(login, "REMEMBERED_S", 0.0)
    api.installations["initech"] = 12
    assert await look(github, app, "initech") == 200


@pytest.mark.slow
async def test_an_installation_of_a_user_is_found(api: FakeGitHub, github: GitHub, app: AppLogin) -> None:
    api.users.add("ada")
    api.installations["ada"] = 13
    assert await look(github, app, "ada") == 200
    assert "GET /users/ada/installation" in api.asked
