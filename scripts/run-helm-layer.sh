#!/bin/sh
# One layer, for shells and CI: the same replay as `invoke layer`.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/run-helm-layer.sh FILE [arguments of `invoke layer`]

Plans, syncs and tests the layer that FILE declares, for instance:

  scripts/run-helm-layer.sh layers/40-data-plane.yaml
  scripts/run-helm-layer.sh layers/40-data-plane.yaml --only-test --output jsonl

Exit codes: 0 passed, 1 failed, 2 what was declared or asked for is wrong, 4 environment, 5 timeout, 130 interrupted.
TEXT
}

root=$(cd "$(dirname "$0")/.." && pwd -P)

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
'' | -*)
    usage >&2
    exit 2
    ;;
esac
file=$1
shift
if [ ! -f "$file" ] && [ ! -f "$root/$file" ]; then
    printf 'error: there is no layer file %s\n  hint: ls %s/layers\n' "$file" "$root" >&2
    exit 2
fi
if [ ! -x "$root/.venv/bin/invoke" ]; then
    printf 'error: this checkout is not set up\n  hint: type scripts/up\n' >&2
    exit 4
fi
name=${file##*/}
cd "$root"
exec "$root/.venv/bin/invoke" layer "${name%.y*ml}" "$@"
