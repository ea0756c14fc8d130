#!/usr/bin/env bash
# Builds an image and pushes it under the next number: 0001, 0002, ... Never uses a tag twice.
# Needs bash, curl, jq and docker (20.10 or newer).
set -euo pipefail
export LC_ALL=C  # a to z are 26 letters

usage() {
    cat <<'END'
usage: build-push.sh [--dry-run] [--first] REPO [VERSION] [-- options of docker build]

Builds the folder CONTEXT and pushes it as REGISTRY/OWNER/REPO:NUMBER, one more than the highest tag of four digits
that GitHub's API shows (after 9999 comes 10000), or as VERSION. Prints `image:tag@digest`.

  --dry-run   say what would be built, build nothing, claim nothing
  --first     there is no package of this name yet, so 0001 is right

environment (those of GitHub Actions are read as they are):
  OWNER, GITHUB_REPOSITORY_OWNER  whose package it is
  GITHUB_TOKEN, GITHUB_PAT        read:packages, write:packages; for claims at GitHub also `contents: write`
  GITHUB_REPOSITORY, GITHUB_SHA   owner/name of the repository, and the commit (otherwise that of the folder here)
  CLAIM                           where numbers are claimed: `github`, a git tag images/REPO-NUMBER in GITHUB_REPOSITORY
                                  (default when that is set), or `local`, a folder of this machine
  CONTEXT, DOCKERFILE             what is built (`.`, its `Dockerfile`)
  PLATFORMS                       several, for buildx: linux/amd64,linux/arm64
  REGISTRY, DOCKER_USERNAME, DOCKER_PASSWORD, GITHUB_API_URL, GITHUB_SERVER_URL, CLAIMS_DIR, DOCKER
END
}

say() { printf 'build-push: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; exit 3; }  # the tag is taken

# -- what is wanted

is_dry='' first='' repo='' version=''
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) is_dry=yes ;;
        --first) first=yes ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        -*) usage >&2; exit 2 ;;
        *)
            if [ -z "$repo" ]; then repo=$1
            elif [ -z "$version" ]; then version=$1
            else usage >&2; exit 2
            fi ;;
    esac
    shift
done
build_options=("$@")
[ -n "$repo" ] || { usage >&2; exit 2; }

docker=${DOCKER:-docker}
for program in curl jq "$docker"; do
    command -v "$program" >/dev/null || die "$program is missing; install it first."
done

lower() { printf '%s' "$1" | tr '[:upper:]' '[:lower:]'; }
matches() { [[ $1 =~ ^($2)$ ]]; }

owner=${OWNER:-${GITHUB_REPOSITORY_OWNER:-}}
[ -n "$owner" ] || die "Whose package is it? Set OWNER to the user or organization."
matches "$owner" '[A-Za-z0-9][A-Za-z0-9_-]{0,99}' || die "OWNER=$owner is no name of a user or organization."
repo=$(lower "$repo")
part='[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*'
matches "$repo" "$part(/$part)*" || die "$repo is no name of a package; such as web, or shop/web."
if [ -n "$version" ]; then
    matches "$version" '[A-Za-z0-9_][A-Za-z0-9._-]{0,127}' || die "$version is no tag."
fi
token=${GITHUB_TOKEN:-${GITHUB_PAT:-}}
[ -n "$token" ] || die "Set GITHUB_TOKEN or GITHUB_PAT: GitHub tells nobody about packages without one."

api=${GITHUB_API_URL:-https://api.github.com}
api=${api%/}
registry=${REGISTRY:-ghcr.io}
case $registry in  # as Docker does it: only this machine is asked without TLS
    127.* | localhost | localhost:*) registry_url=http://$registry ;;
    *) registry_url=https://$registry ;;
esac
path=$(lower "$owner")/$repo
image=$registry/$path
claims=${CLAIM:-$([ -n "${GITHUB_REPOSITORY:-}" ] && echo github || echo local)}
context=${CONTEXT:-.}

here() { git -C "$context" "$@" 2>/dev/null || true; }
commit=${GITHUB_SHA:-$(here rev-parse HEAD)}
source=${GITHUB_SERVER_URL:-https://github.com}/${GITHUB_REPOSITORY:-$owner/${repo%%/*}}

case $claims in
    github)
        [ -n "${GITHUB_REPOSITORY:-}" ] || die "CLAIM=github needs GITHUB_REPOSITORY=owner/name."
        matches "$commit" '[0-9a-f]{40,64}' || die "CLAIM=github needs GITHUB_SHA, or a git repository in $context." ;;
    local) ;;
    *) die "CLAIM=$claims is neither github nor local." ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/build-push.XXXXXX")
draft=o8-draft/$repo:$(basename "$work" | tr -dc '[:alnum:]')
has_draft=''
clean_up() {
    if [ -n "$has_draft" ]; then "$docker" image rm "$draft" >/dev/null 2>&1 || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# -- asking

# request URL AUTHORIZATION [options of curl]: sets `status` (000: no answer), body and headers are in $work.
# Secrets go through standard input: a process list shows arguments. What may be passing is tried three times.
request() {
    local url=$1 authorization=${2//\\/\\\\} try
    authorization=${authorization//\"/\\\"}
    shift 2
    for try in 1 2 3; do
        : >"$work/body"; : >"$work/head"
        status=$(printf '%s\n' "${authorization:+header = \"Authorization: $authorization\"}" |
            curl --silent --max-time 60 --config - --dump-header "$work/head" --output "$work/body" \
                --write-out '%{http_code}' "$@" --url "$url") || status=000
        case $status in
            000 | 5??) if [ "$try" -lt 3 ]; then sleep "${RETRY_S:-3}"; fi ;;
            *) return ;;
        esac
    done
}

header() { tr -d '\r' <"$work/head" | { grep -i "^$1:" || true; } | tail -n 1 | sed 's/^[^:]*: *//'; }
next_page() { header link | tr ',' '\n' | sed -n 's/.*<\([^>]*\)>.*rel="next".*/\1/p' | head -n 1; }
message() {
    jq -r '.message? // (.errors?[0].message) // empty' "$work/body" 2>/dev/null | tr -cd '[:print:]' | cut -c -300 ||
        true
}

ask_api() {
    local url=$1
    shift
    request "$url" "Bearer $token" --header 'Accept: application/vnd.github+json' \
        --header 'X-GitHub-Api-Version: 2022-11-28' --header 'User-Agent: build-push.sh' "$@"
    case $status in
        401) die "GitHub does not accept the token: $(message)" ;;
        429) die "GitHub limits the number of requests: $(message) Try again in $(header retry-after) seconds." ;;
        403)
            case "$(header x-ratelimit-remaining) $(header retry-after) $(message)" in
                '0 '* | *' '[0-9]*' '* | *'rate limit'*)
                    die "GitHub limits the number of requests; try again later: $(message)" ;;
            esac ;;
        000) die "GitHub's API does not answer at $api." ;;
        5??) die "GitHub's API fails with status $status: $(message)" ;;
    esac
}

registry_login=''
user=${DOCKER_USERNAME:-${GITHUB_ACTOR:-$owner}} password=${DOCKER_PASSWORD:-$token}

# https://distribution.github.io/distribution/spec/auth/token/
log_in_for_requests() {
    local challenge basic realm service
    challenge=$(header www-authenticate)
    basic="Basic $(printf '%s:%s' "$user" "$password" | base64 | tr -d '\n')"
    case $(lower "$challenge") in
        basic*) registry_login=$basic ;;
        bearer*)
            realm=$(printf '%s' "$challenge" | sed -n 's/.*realm="\([^"]*\)".*/\1/p')
            service=$(printf '%s' "$challenge" | sed -n 's/.*service="\([^"]*\)".*/\1/p')
            case $realm in
                https://*) ;;
                *)
                    case "$registry_url $realm" in
                        'http://'*' http://127.'*) ;;  # all of it on this machine
                        *) die "$registry wants the password sent to $realm, without TLS." ;;
                    esac ;;
            esac
            request "$realm" "$basic" --get --data-urlencode "service=$service" \
                --data-urlencode "scope=repository:$path:pull,push"
            if [ "$status" = 200 ]; then registry_login="Bearer $(jq -r '.token // .access_token' "$work/body")"; fi ;;
        *) die "$registry asks for a login of an unknown kind: $challenge" ;;
    esac
}

# ask_registry PATH [options of curl]; a login that has run out is made anew.
ask_registry() {
    local url=$registry_url/v2/$1
    shift
    request "$url" "$registry_login" "$@"
    if [ "$status" = 401 ]; then
        log_in_for_requests
        case $status in 401 | 200) request "$url" "$registry_login" "$@" ;; esac
    fi
    case $status in
        000) die "$registry does not answer." ;;
        429) die "$registry limits the number of requests; try again later." ;;
        5??) die "$registry fails with status $status." ;;
    esac
}

# GHCR is not known to tell "there is none" from "not for you" for a package that does not exist. After --first both
# mean "there is none": who may not read it may not push to it either, so the push would fail.
is_absent() { [ "$status" = 404 ] || { [ -n "$first" ] && case $status in 401 | 403) true ;; *) false ;; esac; }; }

# digest_of TAG: sets `digest`, empty when there is no such tag.
digest_of() {
    local kinds='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json'
    kinds="$kinds, application/vnd.docker.distribution.manifest.list.v2+json"
    kinds="$kinds, application/vnd.docker.distribution.manifest.v2+json"
    digest=''
    ask_registry "$path/manifests/$1" --head --header "Accept: $kinds"
    if [ "$status" = 200 ]; then
        digest=$(header docker-content-digest)
        [ -n "$digest" ] || die "$registry has $image:$1, but tells no digest."
    elif ! is_absent; then
        die "$registry does not say whether $image:$1 is there (status $status)." \
            "The token needs write:packages, and the package has to let this repository or user in."
    fi
}

# -- the next number

# list_by_api: tags into $work/tags; false when GitHub shows no such package.
list_by_api() {
    local kind url pages
    for kind in users orgs; do
        url="$api/$kind/$owner/packages/container/${repo//\//%2F}/versions?per_page=100&state=active"
        pages=0
        : >"$work/tags"
        while [ -n "$url" ]; do
            ask_api "$url"
            case $status in
                200) ;;
                # 404 says "not for you" too; 400 and 403 are what some lists answer to tokens of Apps and Actions.
                400 | 403 | 404)
                    [ "$pages" = 0 ] || die "GitHub's list broke off at page $((pages + 1)) with status $status."
                    break ;;
                *) die "GitHub does not list the versions of $path (status $status): $(message)" ;;
            esac
            # Children of an index have no tag.
            jq -r 'if type == "array" then .[].metadata.container.tags[]? else error("no list") end' \
                "$work/body" >>"$work/tags" 2>/dev/null || die "GitHub's list of versions cannot be read."
            pages=$((pages + 1))
            [ "$pages" -lt 1000 ] || die "GitHub's list of versions has no end."
            url=$(next_page)
            case $url in '' | "$api"/*) ;; *) die "GitHub's list goes on elsewhere: $url" ;; esac
        done
        if [ "$pages" -gt 0 ]; then return 0; fi
    done
    return 1
}

# list_by_registry: tags into $work/tags; false when there is no such package.
list_by_registry() {
    local where="$path/tags/list?n=1000" pages
    : >"$work/tags"
    for pages in $(seq 1000); do
        ask_registry "$where"
        if [ "$pages" = 1 ] && is_absent; then return 1; fi
        [ "$status" = 200 ] || die "$registry does not list the tags of $path (status $status): $(message)" \
            "A package that is there needs a token with read:packages."
        jq -r '.tags[]?' "$work/body" >>"$work/tags" || die "The list of $registry cannot be read."
        where=$(next_page)
        if [ -z "$where" ]; then return 0; fi
        case $where in
            "$registry_url"/v2/*) where=${where#"$registry_url"/v2/} ;;
            /v2/*) where=${where#/v2/} ;;
            *) die "The list of $registry goes on elsewhere: $where" ;;
        esac
    done
    die "The list of $registry has no end."
}

# highest: sets `number`, that of the highest tag of four or five digits, 0 when there is none.
highest() {
    local tag longer
    if ! list_by_api; then
        say "GitHub shows no package $path to this token; asking $registry."
        if ! list_by_registry; then
            [ -n "$first" ] || die "There is no package $path, or this token may not see it." \
                "If it is new, say so with --first; otherwise give the token read:packages."
        fi
    fi
    tag=$(grep -Ex '[0-9]{4,5}' "$work/tags" | sed 's/^0*//' | sort -n | tail -n 1) || true
    number=${tag:-0}
    longer=$(grep -Ex '[0-9]{6,}' "$work/tags" | sort -n | tail -n 1) || true
    if [ -n "$longer" ]; then
        say "warning: $longer is a higher number; services with the policy numeric prefer it to what is pushed now."
    fi
}

# claim TAG: true when it is ours from now on, false when another run has it. It is never given back: after a push that
# failed nobody knows what the registry has, so a number may be left out.
claim() {
    local folder
    case $claims in
        local)
            folder=${CLAIMS_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/build-push}/$image
            mkdir -p "$folder"
            mkdir "$folder/:$1" 2>/dev/null && return 0  # a folder is made by one of several at once
            [ -d "$folder/:$1" ] || die "Nothing can be claimed in $folder."
            return 1 ;;
        github)  # https://docs.github.com/en/rest/git/refs#create-a-reference
            ask_api "$api/repos/$GITHUB_REPOSITORY/git/refs" \
                --data "$(jq -nc --arg ref "refs/tags/images/$repo-$1" --arg sha "$commit" '{ref: $ref, sha: $sha}')"
            case $status in
                201) return 0 ;;
                422) case $(message) in *"already exists"*) return 1 ;; esac ;;
            esac
            die "GitHub does not make the tag images/$repo-$1 in $GITHUB_REPOSITORY (status $status): $(message)" \
                "It needs \`contents: write\` and a commit that was pushed; CLAIM=local claims on this machine only." ;;
    esac
}

# prepare: what is known before anything is built. What comes meanwhile is seen by `choose`.
prepare() {
    if [ -z "$version" ]; then
        highest
    else
        digest_of "$version"
        [ -z "$digest" ] || refuse "$image:$version is there already, as $digest."
    fi
}

# choose: sets `tag`, and claims it unless nothing is to be done.
choose() {
    local tries
    if [ -n "$version" ]; then
        tag=$version
        if [ -z "$is_dry" ] && ! claim "$tag"; then
            refuse "$image:$tag was claimed by another run (CLAIM=$claims). If that one failed, use another version."
        fi
        return
    fi
    for tries in $(seq 500); do
        tag=$(printf '%04d' $((number + tries)))
        [ ${#tag} -le 5 ] || die "The numbers are used up; give a VERSION."
        digest_of "$tag"
        if [ -n "$digest" ]; then continue; fi
        if [ -n "$is_dry" ] || claim "$tag"; then return; fi
    done
    die "500 numbers after $number are taken; something is wrong."
}

# -- build and push

labels=(--label "org.opencontainers.image.source=$source")
# A tree with changes is not what its commit says.
if [ -n "$commit" ] && { [ -n "${GITHUB_SHA:-}" ] || [ -z "$(here status --porcelain)" ]; }; then
    labels+=(--label "org.opencontainers.image.revision=$commit")
fi
if "$docker" buildx version >/dev/null 2>&1; then
    build=("$docker" buildx build)
    loads=(--load)
else
    [ -z "${PLATFORMS:-}" ] || die "PLATFORMS needs docker buildx: https://docs.docker.com/go/buildx/"
    build=("$docker" build)
    loads=()
fi
build+=(${labels[@]+"${labels[@]}"} ${DOCKERFILE:+--file "$DOCKERFILE"} ${build_options[@]+"${build_options[@]}"})

# First without the number: a build that fails then uses none. The second time everything comes from the cache.
try_to_build() {
    say "building $image${PLATFORMS:+ for $PLATFORMS}"
    if [ -n "${PLATFORMS:-}" ]; then
        "${build[@]}" --platform "$PLATFORMS" "$context" >&2
    else
        has_draft=yes
        "${build[@]}" ${loads[@]+"${loads[@]}"} --tag "$draft" "$context" >&2
    fi
}

# build_and_push TAG: sets `pushed`, the digest.
build_and_push() {
    local name=$image:$1 label="org.opencontainers.image.version=$1"
    if [ -z "${PLATFORMS:-}" ]; then
        "${build[@]}" ${loads[@]+"${loads[@]}"} --label "$label" --tag "$name" "$context" >&2
    fi
    digest_of "$1"  # once more: the build may have taken long, and not everybody claims
    [ -z "$digest" ] || refuse "$name appeared meanwhile, as $digest; nothing was pushed."
    if [ -n "${PLATFORMS:-}" ]; then
        "${build[@]}" --platform "$PLATFORMS" --label "$label" --tag "$name" --push \
            --metadata-file "$work/metadata" "$context" >&2
        pushed=$(jq -r '."containerimage.digest" // empty' "$work/metadata")
    else
        "$docker" push "$name" | tee "$work/push" >&2
        pushed=$(sed -n "s/^$1: digest: \(sha256:[0-9a-f]*\).*/\1/p" "$work/push" | tail -n 1)
    fi
    [ -n "$pushed" ] || die "Docker did not tell the digest of $name; look at the registry before you deploy it."
    digest_of "$1"
    [ "$digest" = "$pushed" ] || die "$name was pushed as $pushed, but the registry has ${digest:-nothing}:" \
        "somebody else pushed the same tag at this moment. Deploy neither; push again."
}

# Docker's own login, where the registry wants one.
log_in() {
    request "$registry_url/v2/" ''
    if [ "$status" = 401 ]; then
        printf '%s' "$password" | "$docker" login --username "$user" --password-stdin "$registry" >&2
    fi
}

prepare
if [ -n "$is_dry" ]; then
    choose
    say "would build $context and push it as $image:$tag, with ${labels[*]}"
    printf '%s\n' "$image:$tag"
    exit 0
fi
log_in
try_to_build
choose
build_and_push "$tag"
say "pushed $image:$tag"
printf '%s@%s\n' "$image:$tag" "$pushed"
if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf 'image=%s\ntag=%s\ndigest=%s\n' "$image" "$tag" "$pushed" >>"$GITHUB_OUTPUT"
fi
