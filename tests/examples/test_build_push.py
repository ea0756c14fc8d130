"""examples/build-push.sh builds, claims and pushes with a real Docker Engine: no tag is used twice."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
import requests

from lab import torture_tags
from lab.builds import COMMIT, SCRIPT, Bench, Build, tags_of
from lab.github_api import FakeGitHub
from lab.images import remove_repository
from lab.push import push
from lab.registry import LabRegistry, token_registry

pytestmark = pytest.mark.parts


@pytest.fixture
def built(engine_host: str, bench: Bench, package: str) -> Iterator[str]:
    """The repository that a test builds; its images are removed from the engine afterwards."""
    image = bench.registry.image(f"acme/{package}")
    yield image
    remove_repository(engine_host, image)


def labels(host: str, reference: str) -> dict[str, str]:
    client = docker.APIClient(host)
    found: dict[str, str] = client.inspect_image(reference)["Config"]["Labels"]  # type: ignore[no-untyped-call]
    client.close()
    return found


def digest_at(registry: LabRegistry, repository: str, tag: str) -> str:
    kind = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    url = f"http://{registry.address}/v2/{repository}/manifests/{tag}"
    return requests.head(url, headers=kind, timeout=15).headers.get("Docker-Content-Digest", "")


def drafts(host: str) -> list[str]:
    client = docker.APIClient(host)
    found = [tag for image in client.images() for tag in image["RepoTags"] or () if tag.startswith("o8-draft/")]
    client.close()
    return found


def test_a_build_is_pushed_under_the_next_number_with_its_labels(
    engine_host: str, bench: Bench, package: str, built: str, github: FakeGitHub
) -> None:
    github.packages["Acme", package] = [["0004"]]
    github.commits.add(COMMIT)
    output = bench.folder / "output"
    done = bench.run(package, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT, GITHUB_OUTPUT=str(output))
    assert done.code == 0, done.log
    digest = digest_at(bench.registry, f"acme/{package}", "0005")
    assert done.reference == f"{built}:0005@{digest}"
    assert output.read_text() == f"image={built}\ntag=0005\ndigest={digest}\n"
    assert labels(engine_host, f"{built}:0005") == {
        "lab.build": "1",
        "org.opencontainers.image.source": "https://github.com/Acme/shop",
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.version": "0005",
    }
    assert github.references == {f"refs/tags/images/{package}-0005": COMMIT}
    assert not [draft for draft in drafts(engine_host) if package in draft]


def test_options_of_docker_build_are_passed_on(engine_host: str, bench: Bench, package: str, built: str) -> None:
    bench.fill(dockerfile="FROM scratch\nARG COLOUR=red\nCOPY hello /\nLABEL colour=$COLOUR\n")
    (bench.context / "Dockerfile").rename(bench.context / "Other")
    done = bench.run(package, "--", "--build-arg", "COLOUR=blue", DOCKERFILE=str(bench.context / "Other"))
    assert done.code == 0, done.log
    assert labels(engine_host, f"{built}:0001")["colour"] == "blue"


def test_a_build_that_fails_uses_no_number(bench: Bench, package: str, built: str, github: FakeGitHub) -> None:
    github.commits.add(COMMIT)
    bench.fill(dockerfile="FROM scratch\nCOPY what-is-not-there /\n")
    failed = bench.run(package, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT)
    assert failed.code != 0 and failed.said == ""
    assert not github.references
    bench.fill()
    assert bench.run(package, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT).tag == "0001"


@pytest.mark.parametrize("claims", ["github", "local"])
def test_a_claimed_number_is_passed_over(
    bench: Bench, package: str, built: str, github: FakeGitHub, claims: str
) -> None:
    """Of a run that has not pushed yet, or of a version that was deleted."""
    github.commits.add(COMMIT)
    github.references[f"refs/tags/images/{package}-0001"] = COMMIT
    (bench.folder / "claims" / bench.registry.address / "acme" / package / ":0001").mkdir(parents=True)
    done = bench.run(
        package, CLAIM=claims, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT, CLAIMS_DIR=str(bench.folder / "claims")
    )
    assert done.tag == "0002", done.log
    again = bench.run(
        package, "0001", CLAIM=claims, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT,
        CLAIMS_DIR=str(bench.folder / "claims"),
    )  # fmt: skip
    assert again.code == 3 and "claimed by another run" in again.log


def test_what_is_known_to_fail_is_not_built_first(
    bench: Bench, package: str, docker_registry: LabRegistry, github: FakeGitHub
) -> None:
    push(docker_registry, f"acme/{package}", "1.2.3")
    taken = bench.run(package, "1.2.3")
    assert taken.code == 3 and "building" not in taken.log
    github.tokens.clear()
    refused = bench.run(package)
    assert refused.code == 1 and "building" not in refused.log


@pytest.mark.parametrize(("may_write", "commits"), [(False, {COMMIT}), (True, set())])
def test_what_github_does_not_let_us_claim_is_not_pushed(
    bench: Bench, package: str, github: FakeGitHub, may_write: bool, commits: set[str]
) -> None:
    github.may_write_contents, github.commits = may_write, commits
    done = bench.run(package, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT)
    assert done.code == 1 and "contents: write" in done.log
    assert tags_of(bench.registry, f"acme/{package}") is None


def test_a_tag_that_appears_during_the_build_is_not_overwritten(
    bench: Bench, package: str, built: str, docker_registry: LabRegistry, tmp_path: Path
) -> None:
    """Pushed by somebody who claims nothing, after the number was chosen and before our push."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    with ThreadPoolExecutor() as pool:
        docker = stub(tmp_path, f'''case "$*" in *image.version*)
            echo >{ready}; while [ ! -e {go} ]; do sleep 0.1; done ;; esac
            exec {shutil.which("docker")} "$@"''')  # fmt: skip
        run = pool.submit(bench.run, package, DOCKER=docker)
        while not ready.exists():
            assert not run.done(), run.result().log
        theirs = push(docker_registry, f"acme/{package}", "0001")
        go.touch()
        done = run.result()
    assert done.code == 3 and "appeared meanwhile" in done.log
    assert theirs in done.log


def test_a_push_that_another_one_overwrote_is_told(
    bench: Bench, package: str, built: str, docker_registry: LabRegistry, tmp_path: Path
) -> None:
    ready, go = tmp_path / "ready", tmp_path / "go"
    with ThreadPoolExecutor() as pool:
        docker = stub(
            tmp_path,
            f"""{shutil.which("docker")} "$@" || exit
            case "$1" in push) echo >{ready}; while [ ! -e {go} ]; do sleep 0.1; done ;; esac""",
        )
        run = pool.submit(bench.run, package, DOCKER=docker)
        while not ready.exists():
            assert not run.done(), run.result().log
        theirs = push(docker_registry, f"acme/{package}", "0001")
        go.touch()
        done = run.result()
    assert (done.code, done.said) == (1, "")
    assert f"the registry has {theirs}" in done.log


def test_a_registry_with_tokens_is_logged_in_to(
    engine_host: str, tmp_path: Path, github: FakeGitHub, package: str
) -> None:
    github.packages["Acme", package] = [["0001"]]
    with token_registry() as registry:
        assert registry.tokens
        registry.tokens.readers[f"acme/{package}"] = {"acme-bot"}
        done = Bench(tmp_path, github, registry).run(package)
        assert done.tag == "0002", done.log
        assert "correct-horse" not in done.log
        wrong = Bench(tmp_path, github, registry).run(package, DOCKER_PASSWORD="wrong")
        assert wrong.code != 0 and wrong.said == ""
        remove_repository(engine_host, registry.image(f"acme/{package}"))


def test_no_secret_is_in_the_arguments_of_a_program(bench: Bench, package: str, tmp_path: Path) -> None:
    """Every process that the script starts, as `ps` would show it."""
    shown = tmp_path / "shown"
    for name in ("curl", "jq", "docker"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$0 $*" >>{shown}\nexec {shutil.which(name)} "$@"\n')
        program.chmod(0o755)
    with token_registry() as registry:
        bench.environ["REGISTRY"] = registry.address
        done = bench.dry_run("--first", package, PATH=f"{tmp_path}/bin:{bench.environ['PATH']}")
    assert done.code == 0, done.log
    assert "/manifests/0001" in shown.read_text() and "/token" in shown.read_text()
    assert not [secret for secret in ("correct-horse", "ghp_", "Bearer e", "Basic ") if secret in shown.read_text()]


def test_two_runs_at_once_never_use_a_tag_twice(tmp_path: Path, engine_host: str) -> None:
    """A short one of `make torture-tags`."""
    for claims in ("github", "local"):
        found = torture_tags.run(tmp_path / claims, runs=5, at_once=2, claims=claims)
        assert (found.problems, found.failed) == ([], [])
        assert len(set(found.tags)) == 5


def test_without_claims_runs_get_in_each_others_way(tmp_path: Path, engine_host: str) -> None:
    """The control: each run has its own claims, so nothing keeps them apart but a look just before the push."""
    found = torture_tags.run(tmp_path, runs=6, at_once=3, claims="own")
    assert found.problems or found.failed


# -- several platforms; buildx and its builders are not on every machine, so it is played


def stub(folder: Path, script: str) -> str:
    """A program `docker` that runs `script`."""
    program = folder / "docker-stub"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    return str(program)


def with_buildx(folder: Path, digest: str) -> str:
    return stub(
        folder,
        f"""
        echo "$*" >>{folder}/commands
        while [ $# -gt 0 ]; do
            case $1 in
                --metadata-file) echo '{json.dumps({"containerimage.digest": digest})}' >"$2" ;;
                --push) {folder}/push ;;
            esac
            shift
        done""",
    )


def played(bench: Bench, package: str, theirs: Sequence[str] = ()) -> tuple[Build, list[str]]:
    """A run whose buildx pushes an index; `theirs`: what the registry is filled with meanwhile."""
    digest = push(bench.registry, f"acme/{package}", "draft", as_index=True, platforms=("linux/amd64", "linux/arm64"))
    index = requests.get(f"http://{bench.registry.address}/v2/acme/{package}/manifests/draft", timeout=15, headers={
        "Accept": "application/vnd.oci.image.index.v1+json"}).content  # fmt: skip
    (bench.folder / "index").write_bytes(index)
    pushes = bench.folder / "push"
    pushes.write_text(
        "#!/bin/sh\nexec curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' "
        f"--data-binary @{bench.folder}/index http://{bench.registry.address}/v2/acme/{package}/manifests/0001\n"
    )
    pushes.chmod(0o755)
    done = bench.run(package, PLATFORMS="linux/amd64,linux/arm64", DOCKER=with_buildx(bench.folder, digest))
    return done, (bench.folder / "commands").read_text().splitlines()


def test_several_platforms_are_built_before_a_number_is_used_and_pushed_as_one(bench: Bench, package: str) -> None:
    done, commands = played(bench, package)
    assert done.code == 0, done.log
    assert done.tag == "0001"
    assert [command.startswith("buildx build") for command in commands] == [False, True, True]  # `buildx version` first
    first, second = commands[1:]
    assert "--push" not in first and "--platform linux/amd64,linux/arm64" in first
    assert "--push" in second and "--label org.opencontainers.image.version=0001" in second


def test_several_platforms_need_buildx(bench: Bench, package: str, tmp_path: Path) -> None:
    done = bench.run(package, PLATFORMS="linux/amd64", DOCKER=stub(tmp_path, "exit 1"))
    assert done.code == 1 and "docs.docker.com/go/buildx" in done.log


def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(("shellcheck", SCRIPT), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_registry_that_denies_what_is_not_there_is_believed_only_with_first(
    tmp_path: Path, github: FakeGitHub, service_name: str
) -> None:
    """GHCR gives no token for a package that does not exist, as for one that is somebody else's."""
    with token_registry() as registry:
        assert registry.tokens
        registry.tokens.readers[f"acme/{service_name}"] = set()
        bench = Bench(tmp_path, github, registry)
        denied = bench.dry_run(service_name)
        assert (denied.code, denied.said) == (1, "") and "status 403" in denied.log
        assert bench.dry_run("--first", service_name).tag == "0001"
