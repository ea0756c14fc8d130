"""One call of GitHub's API: what it answers, what it refuses, where a token may never go."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web

from bot.errors import GitHubError, GitHubRefused, GitHubUnavailable
from bot.github import GitHub, TokenLogin, transport
from lab.github_api import TOKEN, FakeGitHub, Reply
from lab.http_server import serving

pytestmark = pytest.mark.slow
LOGIN = TokenLogin(TOKEN)
SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


async def test_an_answer_has_body_etag_and_scopes(api: FakeGitHub, github: GitHub) -> None:
    api.users.add("ada")
    answer = await github.get("/users/ada", LOGIN)
    assert (answer.status, answer.body["type"], answer.next_page) == (200, "User", "")
    assert answer.scopes == frozenset({"read:packages"})
    again = await github.get("/users/ada", LOGIN, etag=answer.etag)
    assert (again.status, again.body, api.counted) == (304, None, 1)


def limited(**headers: str) -> Reply:
    return Reply(403, {"message": "API rate limit exceeded for user ID 1."}, headers)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (Reply(429, {"message": "slow down"}, {"Retry-After": "17"}), 17),
        (Reply(403, SECONDARY, {"Retry-After": "7"}), 7),
        (Reply(403, SECONDARY), 60),
        (Reply(429, {}), 60),
        (Reply(429, raw=b"<html>Too many requests</html>"), 60),
        (limited(), 60),
        (limited(**{"Retry-After": "Tue, 24 Nov 2026 16:00:00 GMT"}), 60),
        (limited(**{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "garbage"}), 60),
        (limited(**{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}), 1),
        (Reply(429, {}, {"Retry-After": "9" * 400}), 60),
    ],
)
async def test_a_limit_says_when_to_ask_again(api: FakeGitHub, github: GitHub, reply: Reply, seconds: float) -> None:
    api.replies.append(reply)
    with pytest.raises(GitHubUnavailable, match="limit") as caught:
        await github.get("/users/ada", LOGIN)
    assert caught.value.retry_after == seconds


async def test_the_reset_is_read_by_the_clock_of_github(api: FakeGitHub, github: GitHub) -> None:
    """Ours may be hours off."""
    theirs = time.time() + 7200
    date = format_datetime(datetime.fromtimestamp(theirs, UTC), usegmt=True)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(theirs) + 600), "Date": date}
    api.replies.append(Reply(403, {"message": "API rate limit exceeded"}, headers))
    with pytest.raises(GitHubUnavailable) as caught:
        await github.get("/users/ada", LOGIN)
    assert 599 <= caught.value.retry_after <= 601


async def test_a_used_up_limit_of_the_stand_in_is_understood(api: FakeGitHub, github: GitHub) -> None:
    api.remaining, api.resets_at = 0, time.time() + 1200
    with pytest.raises(GitHubUnavailable) as caught:
        await github.get("/users/ada", LOGIN)
    assert 1190 <= caught.value.retry_after <= 1202


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (Reply(403, {"message": "Resource not accessible by integration"}), GitHubRefused, "Resource not accessible"),
        (Reply(404, {"message": "Not Found"}), GitHubRefused, "404 also means no access"),
        (Reply(422, ["no", "object"]), GitHubRefused, "422"),
        (Reply(404, raw=b"<html>nginx</html>"), GitHubRefused, "404"),
        (Reply(502, raw=b"<html>Unicorn!</html>"), GitHubUnavailable, "502"),
        (Reply(200, raw=b"<html>Log in to the guest network</html>"), GitHubError, "not JSON"),
        (Reply(200, raw=b"[" * 100_000), GitHubError, "not JSON"),
        (Reply(301, {}), GitHubRefused, "301"),
    ],
)
async def test_every_other_answer_has_its_error(
    api: FakeGitHub, github: GitHub, reply: Reply, error: type[GitHubError], says: str
) -> None:
    api.replies.append(reply)
    with pytest.raises(error, match=says) as caught:
        await github.get("/users/ada", LOGIN)
    assert type(caught.value) is error
    assert TOKEN not in str(caught.value)


async def test_a_5xx_may_say_when_to_ask_again(api: FakeGitHub, github: GitHub) -> None:
    api.replies.append(Reply(503, {}, {"Retry-After": "30"}))
    with pytest.raises(GitHubUnavailable) as caught:
        await github.get("/users/ada", LOGIN)
    assert caught.value.retry_after == 30


async def test_silence_is_cut(api: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.2)
    api.is_frozen = True
    with pytest.raises(GitHubUnavailable, match="no whole answer within"):
        await github.get("/users/ada", LOGIN)
    api.is_frozen = False


async def test_nobody_there_is_said_without_the_token(session: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    with pytest.raises(GitHubUnavailable, match="cannot be reached") as caught:
        await GitHub(session, f"http://127.0.0.1:{unused_tcp_port}").get("/users/ada", LOGIN)
    assert TOKEN not in repr(caught.value) and caught.value.__cause__ is None


async def test_an_answer_in_many_pieces_is_read_whole(api: FakeGitHub, github: GitHub) -> None:
    """100 versions are more than one read of a socket gives."""
    body = [{"number": number, "text": "x" * 1000} for number in range(2000)]
    api.replies.append(Reply(200, body))
    assert (await github.get("/users/ada", LOGIN)).body == body


async def test_a_huge_answer_is_cut(api: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_BODY", 2**20)
    api.replies.append(Reply(200, "x" * 2**20))
    with pytest.raises(GitHubError, match="longer than 1 MiB"):
        await github.get("/users/ada", LOGIN)


class Elsewhere:
    """Another server, which must never hear of a token."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.heard.append((request.path, request.headers.get("Authorization", "")))
        return web.json_response([])

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        return application


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_another_host_is_not_followed(api: FakeGitHub, github: GitHub, status: int) -> None:
    elsewhere = Elsewhere()
    with serving(elsewhere.application()) as address:
        api.replies.append(Reply(status, {}, {"Location": f"http://{address}/users/ada"}))
        with pytest.raises(GitHubError, match="not its own"):
            await github.get("/users/ada", LOGIN)
    assert elsewhere.heard == []


@pytest.mark.parametrize("page", ["http://{other}/next", "//{other}/next", "http://127.0.0.1@{other}/", "http://[bad/"])
async def test_a_next_page_of_another_host_gets_no_token(api: FakeGitHub, github: GitHub, page: str) -> None:
    elsewhere = Elsewhere()
    with serving(elsewhere.application()) as address:
        url = page.format(other=address)
        api.replies.append(Reply(200, [], {"Link": f'<{url}>; rel="next"'}))
        answer = await github.get("/users/ada", LOGIN)
        assert answer.next_page == url
        with pytest.raises(GitHubError):
            await github.get(answer.next_page, LOGIN)
    assert elsewhere.heard == []


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_redirect_on_the_same_host_is_followed(api: FakeGitHub, github: GitHub, is_whole: bool) -> None:
    """As GitHub answers for a renamed repository or owner."""
    api.users.add("ada")
    api.replies.append(Reply(301, {}, {"Location": f"{api.url if is_whole else ''}/users/ada"}))
    assert (await github.get("/users/lovelace", LOGIN)).body["login"] == "ada"


async def test_a_post_is_repeated_where_it_was_moved_to_only_when_its_body_may_be(
    api: FakeGitHub, github: GitHub
) -> None:
    api.replies.append(Reply(307, {}, {"Location": "/repositories/7/pings"}))
    api.replies.append(Reply(201, {"id": 1}))
    assert (await github.call("POST", "/repos/acme/old/pings", LOGIN, {})).body == {"id": 1}
    assert api.asked == ["POST /repos/acme/old/pings", "POST /repositories/7/pings"]
    api.replies.append(Reply(302, {}, {"Location": "/repositories/7/pings"}))
    with pytest.raises(GitHubRefused, match="302"):
        await github.call("POST", "/repos/acme/old/pings", LOGIN, {})


async def test_redirects_in_a_circle_end(api: FakeGitHub, github: GitHub) -> None:
    api.replies.extend([Reply(302, {}, {"Location": "/users/ada"})] * 9)
    with pytest.raises(GitHubError, match="circles"):
        await github.get("/users/ada", LOGIN)
    assert len(api.asked) <= 4


async def test_nobody_sends_no_header(session: aiohttp.ClientSession) -> None:
    elsewhere = Elsewhere()
    with serving(elsewhere.application()) as address:
        await GitHub(session, f"http://{address}/api/v3/").get("/users/ada", TokenLogin(""))
    assert elsewhere.heard == [("/api/v3/users/ada", "")]


async def test_a_wrong_token_is_refused_once(api: FakeGitHub, github: GitHub) -> None:
    with pytest.raises(GitHubRefused, match="Bad credentials") as caught:
        await github.get("/users/ada", TokenLogin("ghp_wrong"))
    assert (caught.value.status, len(api.asked)) == (401, 1)
