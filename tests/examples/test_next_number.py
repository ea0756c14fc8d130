"""examples/build-push.sh chooses the right number, or none at all: no failure ever makes it push 0001."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from lab.builds import Bench
from lab.github_api import FakeGitHub, Reply
from lab.push import push
from lab.registry import LabRegistry

pytestmark = pytest.mark.parts
LIMIT = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000000"}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], "0001"),
        ([[], []], "0001"),
        ([["0001"]], "0002"),
        ([["0004"], [], ["0003"]], "0005"),
        ([["0003"], ["0009"], ["0001"]], "0010"),
        ([["0007", "latest", "main"], ["v1.2.3"], ["0a2e"], ["00012x"]], "0008"),
        ([["latest"]], "0001"),
        ([["0099"], ["sha256-" + "0" * 64 + ".sig"]], "0100"),
        ([["9999"]], "10000"),
        ([["10009"], ["9999"]], "10010"),
        ([["0008", "0009"]], "0010"),  # octal to a careless shell
        ([["12"], ["345"], ["0002"]], "0003"),
    ],
)
def test_the_next_number_is_one_more_than_the_highest(
    github: FakeGitHub, bench: Bench, package: str, versions: list[Sequence[str]], expected: str
) -> None:
    github.packages["Acme", package] = versions
    done = bench.dry_run(package)
    assert (done.code, done.tag) == (0, expected), done.log
    assert done.reference == bench.registry.image(f"acme/{package}:{expected}")


@pytest.mark.parametrize("at", [0, 99, 100, 250, 304])
def test_all_pages_count(github: FakeGitHub, bench: Bench, package: str, at: int) -> None:
    versions: list[Sequence[str]] = [[] for _ in range(305)]
    versions[at] = ["0042"]
    versions[150] = ["0017"]
    github.packages["Acme", package] = versions
    assert bench.dry_run(package).tag == "0043"
    assert len(github.asked) == 5  # none of a user, four pages of the organization


def test_a_user_is_asked_for_before_an_organization(github: FakeGitHub, bench: Bench, package: str) -> None:
    github.users.add("Acme")
    github.packages["Acme", package] = [["0005"]]
    assert bench.dry_run(package).tag == "0006"
    assert [line.split("/")[1] for line in github.asked] == ["users"]


def test_a_nested_name_is_encoded(github: FakeGitHub, bench: Bench) -> None:
    github.packages["Acme", "shop/web"] = [["0005"]]
    assert bench.dry_run("Shop/Web").reference == bench.registry.image("acme/shop/web:0006")
    assert "/shop%2Fweb/" in github.asked[0]


def test_a_number_that_the_api_does_not_show_yet_is_passed_over(
    github: FakeGitHub, bench: Bench, package: str, docker_registry: LabRegistry
) -> None:
    github.packages["Acme", package] = [["0001"]]
    for tag in ("0002", "0003"):
        push(docker_registry, f"acme/{package}", tag)
    assert bench.dry_run(package).tag == "0004"


def test_a_longer_number_is_warned_of(github: FakeGitHub, bench: Bench, package: str) -> None:
    github.packages["Acme", package] = [["20260301"], ["0004"]]
    done = bench.dry_run(package)
    assert done.tag == "0005"
    assert "20260301 is a higher number" in done.log


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([Reply(401, {"message": "Bad credentials"})], "does not accept the token: Bad credentials"),
        ([Reply(403, {"message": "API rate limit exceeded"}, LIMIT)], "limits the number of requests"),
        ([Reply(403, {"message": "secondary rate limit"}, {"retry-after": "60"})], "limits the number of requests"),
        ([Reply(403, {"message": "You have exceeded a secondary rate limit."})], "limits the number of requests"),
        ([Reply(429, {"message": "slow"}, {"retry-after": "60"})], "Try again in 60 seconds"),
        ([Reply(500), Reply(502), Reply(503)], "fails with status 503"),
        ([Reply(404), Reply(500), Reply(500), Reply(500)], "fails with status 500"),
        ([Reply(200, {"message": "not a list"})], "cannot be read"),
        ([Reply(200, "what")], "cannot be read"),
        ([None, Reply(200, [], {"Link": '<http://evil.test/?page=2>; rel="next"'})], "goes on elsewhere: http://evil"),
        ([None, None, Reply(404)], "broke off at page 2 with status 404"),
        ([None, None, Reply(401, {"message": "Expired"})], "Expired"),
    ],
)
def test_a_failing_api_ends_it(
    github: FakeGitHub, bench: Bench, package: str, replies: list[Reply | None], said: str
) -> None:
    github.packages["Acme", package] = [[f"{number:04}"] for number in range(150, 0, -1)]
    github.replies.extend(replies)
    done = bench.dry_run(package)
    assert (done.code, done.said) == (1, ""), done
    assert said in done.log


def test_what_passes_is_tried_again(github: FakeGitHub, bench: Bench, package: str) -> None:
    github.packages["Acme", package] = [["0005"]]
    github.replies.extend([Reply(502), Reply(503)])
    assert bench.dry_run(package).tag == "0006"


def test_an_api_that_does_not_answer_ends_it(bench: Bench, package: str) -> None:
    done = bench.dry_run(package, GITHUB_API_URL="http://127.0.0.1:1")
    assert done.code == 1
    assert "does not answer at http://127.0.0.1:1" in done.log


def test_no_package_to_be_seen_is_never_a_silent_0001(bench: Bench) -> None:
    done = bench.dry_run("nothing-here")
    assert (done.code, done.said) == (1, "")
    assert "--first" in done.log and "read:packages" in done.log
    assert bench.dry_run("--first", "nothing-here").tag == "0001"


def test_a_package_that_only_the_registry_shows_is_counted_there(
    bench: Bench, package: str, docker_registry: LabRegistry, github: FakeGitHub
) -> None:
    """The token may not read packages through the API: 404, as if there were none."""
    del github.packages["Acme", package]
    for tag in ("0041", "latest"):
        push(docker_registry, f"acme/{package}", tag)
    for more in ((), ("--first",)):
        assert bench.dry_run(*more, package).tag == "0042"


@pytest.mark.parametrize("status", [400, 403])
def test_tokens_that_may_not_list_count_at_the_registry(
    bench: Bench, package: str, docker_registry: LabRegistry, github: FakeGitHub, status: int
) -> None:
    push(docker_registry, f"acme/{package}", "0041")
    github.replies.extend([Reply(status, {"message": "Invalid argument."})] * 2)
    assert bench.dry_run(package).tag == "0042"


def test_a_dry_run_builds_and_claims_nothing(bench: Bench, package: str, github: FakeGitHub) -> None:
    bench.fill(dockerfile="this cannot be built")
    done = bench.dry_run(package, GITHUB_REPOSITORY="Acme/web", GITHUB_SHA="0" * 40)
    assert done.code == 0, done.log
    assert "org.opencontainers.image.source=https://github.com/Acme/web" in done.log
    assert not github.references
    assert bench.dry_run(package).tag == "0001"


def test_a_version_is_taken_as_it_is(bench: Bench, package: str, docker_registry: LabRegistry) -> None:
    assert bench.dry_run(package, "1.2.3").tag == "1.2.3"
    push(docker_registry, f"acme/{package}", "1.2.3")
    done = bench.dry_run(package, "1.2.3")
    assert (done.code, done.said) == (3, "")
    assert "is there already" in done.log


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "said"),
    [
        ((), {}, 2, "usage"),
        (("a", "b", "c"), {}, 2, "usage"),
        (("--unknown", "web"), {}, 2, "usage"),
        (("web", "not a tag"), {}, 1, "no tag"),
        (("../web",), {}, 1, "no name of a package"),
        (("web\nx",), {}, 1, "no name of a package"),
        (("web",), {"OWNER": "a/b"}, 1, "no name of a user"),
        (("web",), {"OWNER": ""}, 1, "Set OWNER"),
        (("web",), {"GITHUB_TOKEN": ""}, 1, "Set GITHUB_TOKEN"),
        (("web",), {"DOCKER": "no-such-program"}, 1, "no-such-program is missing"),
        (("web",), {"CLAIM": "github"}, 1, "needs GITHUB_REPOSITORY"),
        (("web",), {"CLAIM": "no"}, 1, "neither"),
        (("web",), {"GITHUB_REPOSITORY": "acme/web"}, 1, "needs GITHUB_SHA"),
    ],
)
def test_what_is_wrong_is_said(
    bench: Bench, arguments: Sequence[str], environ: dict[str, str], code: int, said: str
) -> None:
    done = bench.run(*arguments, **environ)
    assert (done.code, done.said) == (code, "")
    assert re.search(said, done.log)


def test_the_owner_of_actions_counts_when_none_is_named(bench: Bench, github: FakeGitHub, package: str) -> None:
    github.packages["Other", package] = [["0001"]]
    assert bench.dry_run(package, OWNER="", GITHUB_REPOSITORY_OWNER="Other").reference == bench.registry.image(
        f"other/{package}:0002"
    )


def test_help_is_given(bench: Bench) -> None:
    done = bench.run("--help")
    assert done.code == 0
    assert "usage: build-push.sh" in done.said
