#!/bin/sh
# Builds the protobuf module and publishes it: what ameide_core_proto runs, before any Helm layer.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/buf-build-push.sh [--no-push] [arguments of `invoke proto.push`]

Builds proto/ and pushes it to its registry with BUF_TOKEN, from the environment or from .env at the repository's root.
A module that is as it was last pushed is not pushed again.

  --no-push   build only, and need no token; clusters will see the last published module
  -h, --help  this text

Exit codes: 0 done, 1 the module does not compile, 2 no token, a wrong one, or a .env that cannot be read,
4 the registry cannot be reached, or a tool is missing, 130 interrupted. See docs/proto.md.
TEXT
}

root=$(cd "$(dirname "$0")/.." && pwd -P)

wanted=yes
for word in "$@"; do
    case $word in
    -h | --help)
        usage
        exit 0
        ;;
    --no-push) wanted=no ;;
    esac
done

. "$root/scripts/_setup.sh"
# Said here where it is plain, before a setup that can take a minute and before Python starts. Where there is an .env,
# a checkout that is set up asks the library, which reads it properly.
if [ $wanted = yes ] && [ -z "${BUF_TOKEN:-}" ] && {
    [ ! -e "$root/.env" ] || { ! is_installed runtime && ! grep -q 'BUF_TOKEN.*=.' "$root/.env"; }
}; then
    say "error: BUF_TOKEN is not set: clusters read the published API, so it must be pushed before Helm installs anything"
    say "  hint: write BUF_TOKEN=… into $root/.env, or export it; make one at https://buf.build/settings/user"
    say "        to build without publishing: invoke proto.push --no-push"
    say "        under Tilt: invoke bootstrap.down --keep-cluster && invoke bootstrap --no-push"
    exit 2
fi
set_up runtime
cd "$root"
exec "$root/.venv/bin/invoke" proto.push "$@"
