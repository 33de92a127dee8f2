"""The whole platform on a machine with nothing but loopback."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.platform.support import run
from tests.platform.test_layers import LAYERS

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.real,
    pytest.mark.skipif(not os.environ.get("DEVTOOLS_NIGHTLY"), reason="nightly: set DEVTOOLS_NIGHTLY=1"),
]
NO_ROUTE = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error:
    assert error.errno == 101, error  # network is unreachable
else:
    raise AssertionError("there is a network here")
"""


def test_every_layer_is_made_and_tested_without_any_network(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("DEVTOOLS_")}
    env |= {
        "DEVTOOLS_CLUSTER": f"alone-{uuid4().hex[:8]}",
        "DEVTOOLS_STATE": str(tmp_path),
        "DEVTOOLS_PROVIDER": "kwok",
    }
    script = (
        'ip link set lo up; "$1" -c "$2"; "$1" -m invoke up --output json || code=$?; '
        '"$1" -m invoke cluster.delete >&2; exit ${code:-0}'
    )
    words = ["unshare", "--net", "sh", "-euc", script, "sh", sys.executable, NO_ROUTE]
    made = run(words, env=env, timeout=900)
    assert made.ok, made.stdout[-4000:] + made.stderr[-4000:]
    document = json.loads(made.stdout)
    assert {release["outcome"] for release in document["releases"]} <= {"installed", "disabled"}
    assert {release["layer"] for release in document["releases"]} == set(LAYERS)
    assert len(document["tests"]) >= 25
    assert {test["verdict"] for test in document["tests"]} == {"passed"}
