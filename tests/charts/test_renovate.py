"""The Renovate preset finds every pinned chart: its regular expressions, tried on locks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.charts.lock import load_lock

ROOT = Path(__file__).resolve().parents[2]
PRESET = json.loads((ROOT / "renovate/devtools.json").read_text())
LOCK = ROOT / "charts/third_party/lock.yaml"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHERS = f"""\
charts:
- publisher: acme
  name: "one"
  sha256: null      # not yet

  # a comment
  version: '1.0.0'  # pinned
  license: MIT
  repository: "https://charts.example.com/stable"  # ours
  contract:
    services:
      - name: x
- publisher: acme
  name: two
  version: 2.0.0+build.1
  oci: oci://registry.example.com:5000/charts/two
  sha256: {"a" * 64}
- publisher: acme
  name: three
  version: 3.0.0
  git: https://git.example.com/acme/charts.git
  ref: v3.0.0
  commit: {COMMIT}
  sha256: {"b" * 64}
- publisher: acme
  name: four
  version: 4.0.0
  git: https://git.example.com/acme/charts.git
  ref: main
  commit: null
  sha256: null
"""
JAVASCRIPT = """
const [preset, text] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const of = (manager, match) => ({datasource: manager.datasourceTemplate, ...match.groups});
const found = preset.customManagers.flatMap(manager => manager.matchStrings.flatMap(
  pattern => [...text.matchAll(new RegExp(pattern, "g"))].map(match => of(manager, match))));
console.log(JSON.stringify(found));
"""
Found = list[dict[str, str]]


def by_python(text: str) -> Found:
    """As Renovate does it with RE2, whose patterns are these but for how groups are named."""
    return [
        {"datasource": manager["datasourceTemplate"], **match.groupdict()}
        for manager in PRESET["customManagers"]
        for pattern in manager["matchStrings"]
        for match in re.finditer(pattern.replace("(?<", "(?P<"), text)
    ]


def by_javascript(text: str) -> Found:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    document = json.dumps([PRESET, text])
    done = subprocess.run(
        [node, "-e", JAVASCRIPT], input=document, capture_output=True, text=True, timeout=300, check=True
    )
    found: Found = json.loads(done.stdout)
    return found


@pytest.fixture(params=[by_python, by_javascript])
def find(request: pytest.FixtureRequest) -> Callable[[str], Found]:
    found: Callable[[str], Found] = request.param
    return found


def test_every_pinned_chart_is_found(find: Callable[[str], Found]) -> None:
    found = sorted((item["depName"], item["currentValue"], item["datasource"]) for item in find(LOCK.read_text()))
    entries = load_lock(ROOT / "charts", ROOT).entries.values()
    assert found == sorted((item.name, item.version, "docker" if item.oci else "helm") for item in entries)
    urls = {item["depName"]: item["registryUrl"] for item in find(LOCK.read_text()) if item["datasource"] == "helm"}
    assert urls == {item.name: item.repository for item in entries if item.repository}


def test_other_ways_to_write_the_lock_are_found(find: Callable[[str], Found]) -> None:
    url, git = "https://charts.example.com/stable", "https://git.example.com/acme/charts.git"
    package = "registry.example.com:5000/charts/two"
    assert find(OTHERS) == [
        {"datasource": "helm", "depName": "one", "currentValue": "1.0.0", "registryUrl": url},
        {"datasource": "docker", "depName": "two", "currentValue": "2.0.0+build.1", "packageName": package},
        {
            "datasource": "git-tags",
            "depName": "three",
            "packageName": git,
            "currentValue": "v3.0.0",
            "currentDigest": COMMIT,
        },
    ]


def test_the_preset_uses_nothing_that_re2_lacks() -> None:
    for manager in PRESET["customManagers"]:
        assert manager["customType"] == "regex"
        (file,) = manager["managerFilePatterns"]
        assert re.search(file.strip("/"), "charts/third_party/lock.yaml")
        for pattern in manager["matchStrings"]:
            assert not re.search(r"\(\?<?[=!]|\\[1-9]", pattern), pattern
