#!/bin/sh
# Writes the Secret that local database migrations read; `--help` says from what.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd -P)
if [ ! -x "$root/.venv/bin/python" ]; then
    printf 'error: this checkout is not set up\n  hint: type scripts/up\n' >&2
    exit 4
fi
PYTHONPATH="$root/scripts${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -c '
import os, sys
from platform_hooks.main import write_migrations_secret
sys.exit(write_migrations_secret(sys.argv[1:], os.environ, lambda line: print(line, flush=True)))
' "$@"
