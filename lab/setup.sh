#!/usr/bin/env bash
# Makes a fresh Debian or Ubuntu ready for `make demo` and `make test`: installs the packages that are missing,
# and .venv with the locked libraries. Says what it does; when nothing is to do it says nothing, in no time.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

# Services that are only lent their program: our own copies of them are started when needed.
borrowed=(nginx docker-registry)

say() { printf 'setup: %s\n' "$*"; }
give_up() { printf 'setup: %s\n' "$@" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
with_systemd() { [ -d /run/systemd/system ]; }
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
# Static, as it is all that the smallest test images hold.
has_busybox() { has busybox && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

missing_packages() {
    has dockerd || echo docker.io
    has iptables || echo iptables
    has nginx || echo nginx-light
    has docker-registry || echo docker-registry
    has_busybox || echo busybox-static
    has ip || echo iproute2
    # examples/build-push.sh and its tests; where docker.io does not bring the command, docker-cli does.
    has curl || echo curl
    has jq || echo jq
    has shellcheck || echo shellcheck
    has systemd-analyze || echo systemd  # these two check examples/*.service and examples/sudoers
    has visudo || echo sudo
    has certbot || echo certbot
    has pebble-challtestsrv || echo pebble  # an authority of our own, with a name server
    has docker || ! apt-cache show docker-cli >/dev/null 2>&1 || echo docker-cli
    has chromium || printf '%s\n' chromium fonts-dejavu-core  # the tests of the dashboard look at it
    # The application's images are made of Debian's own Python, whatever Python runs o8.
    [ -x /usr/bin/python3 ] || echo python3
    "$(python || echo /usr/bin/python3)" -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

python() {
    local each
    for each in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if has "$each" && is_recent "$each"; then command -v "$each"; return; fi
    done
    return 1
}

# https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
keep_services_down() {
    local pattern=${1// /|} policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\ncase "$1" in %s) exit 101;; esac\n' "$pattern" | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

install_packages() {
    local packages=("$@") down="${borrowed[*]}" each
    has apt-get || give_up "these programs are missing, and there is no apt-get here to install them:" "${packages[*]}"
    [ "$(id -u)" = 0 ] || has sudo || give_up "run me as root once, or install: ${packages[*]}"
    say "installing ${packages[*]}"
    with_systemd || down="$down docker containerd"  # the tests start their own when none runs
    keep_services_down "$down"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${packages[@]}" >/dev/null
    for each in "${borrowed[@]}"; do
        if with_systemd && [[ " ${packages[*]} " == *" $each"* ]]; then
            as_root systemctl disable --quiet "$each"
            say "$each is installed but not started, now or at boot: systemctl enable --now $each changes that"
        fi
    done
}

install_libraries() {
    local python stamp=.venv/.made-of inputs
    python=$(python) || give_up "o8 needs Python 3.11 or newer, and $(/usr/bin/python3 --version) is what is here." \
        "Debian 12, Ubuntu 24.04 and later bring one; elsewhere install python3.11 and python3.11-venv," \
        "or say where one is: PYTHON=/path/to/python3.12 make"
    inputs=$(sha256sum requirements-dev.lock pyproject.toml; "$python" -c 'import sys; print(sys.version)')
    if [ -f "$stamp" ] && [ "$(<"$stamp")" = "$inputs" ]; then return; fi
    say "making .venv with $("$python" --version) and the libraries of requirements-dev.lock"
    is_recent .venv/bin/python || "$python" -m venv --clear .venv
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
    printf '%s\n' "$inputs" >"$stamp"
}

mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi
install_libraries
if [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
    say "you may not use Docker yet: sudo usermod -aG docker $(id -un), then log in again"
fi
