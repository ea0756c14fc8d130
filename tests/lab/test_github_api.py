"""The stand-in of GitHub's API is as strict as GitHub, or stricter: else the tests that use it would prove nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests

from lab.github_api import TOKEN, FakeGitHub, fake_github
from lab.github_api.apps import CLIENT_ID, LIFE_S

pytestmark = pytest.mark.slow
HEADERS = {
    "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "test",
    "Authorization": f"Bearer {TOKEN}",
}  # fmt: skip
PACKAGES = "/orgs/acme/packages?package_type=container"


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        yield api


def get(api: FakeGitHub, path: str, **headers: str | None) -> requests.Response:
    """With the headers that GitHub wants, changed by `headers`."""
    sent = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(path if path.startswith("http") else api.url + path, headers=sent, timeout=10)


@pytest.mark.parametrize("name", ["Accept", "X_GitHub_Api_Version"])
def test_a_wrong_header_is_refused(api: FakeGitHub, name: str) -> None:
    assert get(api, PACKAGES, **{name: "wrong"}).status_code == 400


def test_a_wrong_token_and_a_missing_scope_are_refused(api: FakeGitHub) -> None:
    api.publish("acme", "web", "0001")
    assert get(api, PACKAGES).status_code == 200
    assert get(api, PACKAGES, Authorization="Bearer ghp_wrong").status_code == 401
    api.scopes = {"repo"}
    assert get(api, PACKAGES).status_code == 403
    assert get(api, PACKAGES).headers["X-OAuth-Scopes"] == "repo"


@pytest.mark.parametrize("path", ["/orgs/acme/packages", "/users/acme/packages?package_type=container", "/nowhere"])
def test_a_wrong_path_or_query_is_refused(api: FakeGitHub, path: str) -> None:
    api.publish("acme", "web", "0001")
    assert get(api, path).status_code in (400, 404)


def test_pages_are_led_through_by_link_and_have_100_items_at_most(api: FakeGitHub) -> None:
    for number in range(250):
        api.publish("acme", f"p{number:03}", "0001")
    sizes, names, url = [], [], f"{PACKAGES}&per_page=500"
    while url:
        answer = get(api, url)
        sizes.append(len(answer.json()))
        names += [each["name"] for each in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    assert (sizes, len(set(names))) == ([100, 100, 50], 250)
    assert set(get(api, f"{PACKAGES}&page=2").links) == {"prev", "next", "last", "first"}
    assert len(get(api, PACKAGES).json()) == 30


def test_what_has_not_changed_is_304_for_the_same_token_and_not_counted(api: FakeGitHub) -> None:
    api.publish("acme", "web", "0001")
    etag = get(api, PACKAGES).headers["ETag"]
    api.tokens.add("ghp_another")
    assert (get(api, PACKAGES, If_None_Match=etag).status_code, api.counted) == (304, 1)
    assert get(api, PACKAGES, If_None_Match=etag, Authorization="Bearer ghp_another").status_code == 200
    api.publish("acme", "web", "0002")
    assert (get(api, PACKAGES, If_None_Match=etag).status_code, api.counted) == (200, 3)


@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_limit_is_told_in_github_s_headers(api: FakeGitHub, status: int) -> None:
    api.publish("acme", "web", "0001")
    api.limit_status, api.remaining, api.resets_at = status, 2, time.time() + 50
    assert [get(api, PACKAGES).status_code for _ in range(3)] == [200, 200, status]
    refused = get(api, PACKAGES)
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["x-ratelimit-reset"]) - time.time() <= 51
    assert "rate limit" in refused.json()["message"]
    assert get(api, "/rate_limit").json()["resources"]["core"]["remaining"] == 0
    api.resets_at = time.time()
    assert get(api, PACKAGES).headers["x-ratelimit-remaining"] == "4999"


@pytest.mark.parametrize("status", [403, 429])
def test_who_asks_too_fast_is_refused_for_a_while(api: FakeGitHub, status: int) -> None:
    api.publish("acme", "web", "0001")
    api.limit_status, api.burst, api.burst_s = status, 3, 60
    answers = [get(api, PACKAGES) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, status, status]
    assert answers[-1].headers["retry-after"] == "60"
    assert "secondary" in answers[-1].json()["message"]


def claims(**change: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iat": now - 60, "exp": now + 540, "iss": CLIENT_ID} | change


@pytest.mark.parametrize(
    ("name", "value"),  # times in seconds from when the test runs: a run takes longer than a JWT lives
    [("iss", "7"), ("iat", 120), ("exp", 700), ("exp", -1), ("iss", None)],
    ids=["of another App", "from the future", "too long", "ended", "of nobody"],
)
def test_a_wrong_jwt_is_refused(api: FakeGitHub, name: str, value: str | int | None) -> None:
    wrong = claims() | {name: time.time() + value if isinstance(value, int) else value}
    if value is None:
        del wrong[name]
    assert get(api, "/app", Authorization=f"Bearer {signed(api, claims())}").status_code == 200
    assert get(api, "/app", Authorization=f"Bearer {signed(api, wrong)}").status_code == 401


def signed(api: FakeGitHub, content: dict[str, Any]) -> str:
    return jwt.encode(content, api.app_key, algorithm="RS256")


def test_a_jwt_of_another_key_and_a_token_where_a_jwt_belongs_are_refused(api: FakeGitHub) -> None:
    with fake_github() as another:
        token = signed(another, claims())
    assert get(api, "/app", Authorization=f"Bearer {token}").status_code == 401
    assert get(api, "/app").status_code == 401


def test_an_installation_token_is_of_one_owner_ends_and_lists_no_packages(api: FakeGitHub) -> None:
    api.publish("acme", "web", "0001")
    api.installations["acme"] = 11
    app = {"Authorization": f"Bearer {signed(api, claims())}"}
    assert get(api, "/orgs/acme/installation", **app).json()["id"] == 11
    assert get(api, "/orgs/initech/installation", **app).status_code == 404
    made = requests.post(f"{api.url}/app/installations/11/access_tokens", headers=HEADERS | app, timeout=10)
    assert made.status_code == 201
    token = {"Authorization": f"Bearer {made.json()['token']}"}
    assert get(api, "/installation/repositories", **token).status_code == 200
    refused = get(api, PACKAGES, **token)
    assert (refused.status_code, refused.json()["message"]) == (400, "Invalid argument.")
    api.clock_ahead_s = LIFE_S + 1
    assert get(api, "/installation/repositories", **token).status_code == 401
