#!/bin/sh
# From a new container to Tilt's UI; may be run again at any time, by any user who may write to this checkout.
set -eu

# https://github.com/k3d-io/k3d/releases, https://github.com/tilt-dev/tilt/releases; pinned in checksums.txt, too
K3D_VERSION=5.9.0
TILT_VERSION=0.37.7

usage() {
    cat <<'TEXT'
usage: .devcontainer/post-create.sh [--start] [arguments of `invoke bootstrap`]

Sets up this checkout, gets k3d and tilt where they are missing, and runs `invoke bootstrap`. What is there is left
as it is. Without Docker the embedded cluster is made; without tilt the layers are brought up by `invoke up` instead.

  --start     everything is set up: only `invoke bootstrap`, for a container that starts again
  -h, --help  this text

Environment:
  K3D_RELEASES, TILT_RELEASES  mirrors of the programs' release pages
  DOCKER_WAIT                  seconds that a Docker engine may take to come up; default: 60
TEXT
}

root=$(cd "$(dirname "$0")/.." && pwd -P)
. "$root/scripts/_setup.sh"

step() { say "==> $*"; }

# own DIRECTORY: a new volume belongs to root
own() {
    mkdir -p "$1" 2>/dev/null || :
    [ ! -w "$1" ] || return 0
    say "    $1 belongs to another user: taking it over with sudo"
    sudo -n mkdir -p "$1" && sudo -n chown "$(id -u):$(id -g)" "$1" ||
        die "cannot write to $1" "as root, type: chown -R $(id -un) $1"
}

# wait_for_docker: the container's own engine starts beside us; where there is no docker, there is nothing to wait for
wait_for_docker() {
    command -v docker >/dev/null || return 0
    left=${DOCKER_WAIT:-60}
    until docker info >/dev/null 2>&1; do
        [ "$left" -gt 0 ] || {
            say "    Docker does not answer; docker info says why. Going on without."
            return 0
        }
        [ "$left" != "${DOCKER_WAIT:-60}" ] || say "    waiting for Docker to come up"
        left=$((left - 1))
        sleep 1
    done
}

# fetch BASE NAME FILE: BASE/NAME/FILE into $scratch, checked against checksums.txt beside this script; fails where
# that cannot be. A release's own list comes from the same place as what it should vouch for.
fetch() {
    curl -fsSL --retry 3 --max-time 300 -o "$scratch/$3" "$1/${2#*/}/$3" || return 1
    wanted=$(awk -v name="$2/$3" '$2 == name { print $1 }' "$root/.devcontainer/checksums.txt")
    found=$(sha256sum "$scratch/$3" | cut -d ' ' -f 1)
    [ -n "$wanted" ] && [ "$wanted" = "$found" ] || {
        say "    $3 is not what .devcontainer/checksums.txt pins: it is not used"
        return 1
    }
}

# get NAME FUNCTION: a program that is missing, into ~/.local/bin
get() {
    if command -v "$1" >/dev/null; then
        say "    $1 is there: $(command -v "$1")"
        return 0
    fi
    mkdir -p "$HOME/.local/bin"
    scratch=$(mktemp -d)
    if [ "$(uname -s)" = Linux ] && "$2"; then
        install -m 755 "$scratch/$1" "$HOME/.local/bin/$1"
        say "    $1: installed in $HOME/.local/bin"
    else
        say "    $1 could not be had: going on without"
    fi
    rm -rf "$scratch"
}

get_k3d() {
    case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) return 1 ;; esac
    fetch "${K3D_RELEASES:-https://github.com/k3d-io/k3d/releases/download}" "k3d/v$K3D_VERSION" "k3d-linux-$arch" &&
        mv "$scratch/k3d-linux-$arch" "$scratch/k3d"
}

get_tilt() {
    case $(uname -m) in x86_64) arch=x86_64 ;; aarch64) arch=arm64 ;; *) return 1 ;; esac
    file=tilt.$TILT_VERSION.linux.$arch.tar.gz
    fetch "${TILT_RELEASES:-https://github.com/tilt-dev/tilt/releases/download}" "tilt/v$TILT_VERSION" "$file" &&
        tar -xzf "$scratch/$file" -C "$scratch" tilt
}

# remember: shells that are opened later find invoke and the programs; once
remember() {
    line=". '$root/scripts/activate'"
    touch "$HOME/.bashrc"
    grep -qxF "$line" "$HOME/.bashrc" || printf '%s\n' "$line" >>"$HOME/.bashrc"
}

mode=create
for argument; do
    shift
    case $argument in
    --start) mode=start ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) set -- "$@" "$argument" ;;
    esac
done

cd "$root"
PATH=$HOME/.local/bin:$PATH
export PATH
if [ "$mode" = create ] || [ ! -x "$python" ]; then
    step "caches"
    own "${DEVTOOLS_CACHE:-$HOME/.cache/ameide-devtools}"
    own "${DEVTOOLS_STATE:-$HOME/.local/state/ameide-devtools}"
    step "Python packages"
    set_up runtime
    step "k3d $K3D_VERSION and tilt $TILT_VERSION"
    get k3d get_k3d
    get tilt get_tilt
    remember
fi
step "Docker"
wait_for_docker
step "invoke bootstrap"
exec "$root/.venv/bin/invoke" bootstrap "$@"
