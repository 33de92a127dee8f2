"""What the environment holds is hidden in what is printed."""

from __future__ import annotations

import io
from pathlib import Path

from devtools.app.environment import App


def test_secrets_are_hidden_and_the_shells_directory_is_not(tmp_path: Path) -> None:
    """PWD is named like a password."""
    environ = {"PWD": str(tmp_path), "OLDPWD": "/srv/checkout", "DB_PWD": "s3cr3t-marker"}
    app = App(environ=environ, cwd=tmp_path, out=io.StringIO(), err=(err := io.StringIO()))
    app.say(f"log in {tmp_path}/tilt.log and /srv/checkout, not s3cr3t-marker")
    assert err.getvalue() == f"log in {tmp_path}/tilt.log and /srv/checkout, not ***\n"
