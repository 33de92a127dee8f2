"""`images.yaml`: every problem at its place, all at once; this repository's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.app.environment import App
from devtools.base.yaml_positions import parse
from devtools.commands.images.inventory import wanted_by
from devtools.config.validate import keys_of, validated
from devtools.errors import ConfigError
from devtools.images.catalog import Build, ImagesFile, Pinned, load_catalog
from devtools.project import Project
from tests.kits.stack import printed, write

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
images:
  - name: docker.io/alpine/k8s
    tag: 1.34.1
    digest: null
    purpose: smoke Jobs
  - name: hello
    tag: dev
    purpose: an app
    build: {context: apps/hello, target: prod, args: {A: b}}
  - name: quay.io/x/k8s
    tag: "1"
    purpose: another
    archive: images/k8s.tar
"""


def test_what_it_says(tmp_path: Path) -> None:
    write(tmp_path, {"images.yaml": GOOD, "apps/hello/Dockerfile": "FROM scratch\n"})
    catalog = load_catalog(tmp_path)
    one, two, three = catalog.images.values()
    assert [str(one), one.source, one.digest] == ["docker.io/alpine/k8s:1.34.1", "pull", ""]
    assert two.build
    assert (two.build.file, two.build.target, two.build.args) == (
        tmp_path / "apps/hello/Dockerfile",
        "prod",
        {"A": "b"},
    )
    assert (three.source, three.archive, three.where.line) == ("archive", tmp_path / "images/k8s.tar", 10)
    assert catalog.chosen(()) == (one, two, three)
    for name in ("hello", "hello:dev", "library/hello", "docker.io/library/hello:dev"):
        assert catalog.chosen([name, name]) == (two,), name


def test_without_the_file_there_are_none(tmp_path: Path) -> None:
    assert load_catalog(tmp_path).images == {}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("helo", "no image 'helo' in images.yaml (did you mean 'hello'?)"),
        ("k8s", "'k8s' could be docker.io/alpine/k8s:1.34.1 or quay.io/x/k8s:1 (type a longer prefix)"),
    ],
)
def test_a_name_that_none_or_several_have(typed: str, message: str, tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, {"images.yaml": GOOD, "apps/hello/Dockerfile": "FROM scratch\n"}))
    with pytest.raises(ConfigError) as caught:
        catalog.chosen([typed])
    assert printed(caught.value) == [message]


BAD = """\
images:
  - nam: docker.io/alpine/k8s
    tag: a b
    purpose: x
  - name: X
    tag: 1.34
    digest: sha256:12
    purpose: ""
    build: {contxt: x}
image: []
"""


def test_every_problem_of_the_file_at_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_catalog(write(tmp_path, {"images.yaml": BAD}))
    assert printed(caught.value) == [
        "images.yaml:2:5: unknown key 'nam' (did you mean 'name'?)",
        "images.yaml:3:5: 'tag' must be an image's tag: letters, digits, '_', '.' and '-', at most 128, not 'a b'",
        "images.yaml:5:5: 'name' must be an image's name without tag and digest, such as docker.io/alpine/k8s, not 'X'",
        "images.yaml:6:5: 'tag' must be text (quote it)",
        "images.yaml:7:5: 'digest' must be 'sha256:' and 64 lower-case hexadecimal digits, or null, not 'sha256:12'",
        "images.yaml:8:5: 'purpose' must not be empty",
        "images.yaml:9:13: unknown key 'contxt' (did you mean 'context'?)",
        "images.yaml:10:1: unknown key 'image' (did you mean 'images'?)",
    ]


WRONG = f"""\
images:
  - {{name: a, tag: "1", purpose: x, digest: "sha256:{"0" * 64}", build: {{context: gone}}}}
  - name: docker.io/library/a
    tag: "1"
    purpose: x
    archive: ../a.tar
    build: {{context: here, file: Other}}
  - {{name: b, tag: "1", purpose: x, build: {{context: /etc}}}}
  - {{name: c, tag: "1", purpose: x, build: {{context: gone}}}}
  - {{name: d, tag: "1", purpose: x, build: {{context: here, file: Other}}}}
"""


def test_what_keys_cannot_say_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_catalog(write(tmp_path, {"images.yaml": WRONG, "here/Dockerfile": "FROM scratch\n"}))
    assert printed(caught.value) == [
        "images.yaml:2:37: only a pulled image has a 'digest' (remove it, or make it null)",
        "images.yaml:3:5: image docker.io/library/a:1 is listed twice (first at images.yaml:2:5)",
        "images.yaml:6:5: 'archive' and 'build' exclude each other",
        "images.yaml:6:5: 'archive' must be a path inside the repository",
        "images.yaml:8:45: 'context' must be a path inside the repository",
        "images.yaml:9:45: directory gone does not exist",
        "images.yaml:10:60: file here/Other does not exist",
    ]


def test_every_image_of_a_smoke_job_is_pinned_here(app: App) -> None:
    stack = Project(app).stack()
    smoke = [release for release in stack.releases() if release.smoke and release.installed]
    catalog = load_catalog(ROOT)
    assert smoke
    assert [str(item.reference) for item in wanted_by(app, stack, smoke) if not catalog.find(item.reference)] == []


def test_what_is_built_here_can_be_had_nowhere_else(app: App) -> None:
    """Whoever wants a `:dev` image gets it from here: no registry has it."""
    stack = Project(app).stack()
    releases = [release for release in stack.releases() if release.installed and release.chart.kind == "local"]
    catalog = load_catalog(ROOT)
    dev = [item.reference for item in wanted_by(app, stack, releases) if item.reference.tag == "dev"]
    assert [str(reference) for reference in dev] == ["docker.io/ameide/ameide-migrations:dev"]
    assert all((found := catalog.find(reference)) and found.source == "build" for reference in dev)


PAGE = (ROOT / "docs/images.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "heading"), [(Pinned, "| key of `images` |"), (Build, "| key of `build` |")])
def test_every_key_is_documented_and_no_other(kind: Any, heading: str) -> None:
    table = PAGE[PAGE.index(heading) :].split("\n\n")[0].splitlines()[2:]
    assert {row.split("`")[1] for row in table} == {key.name for key in keys_of(kind)}


def test_the_documented_example_is_read() -> None:
    block = PAGE.split("```yaml\n")[1].split("```")[0]
    document = parse(block.encode(), Path("images.yaml"))
    assert validated(ImagesFile, document)[1] == ()
    assert yaml.load(block, yaml.CSafeLoader)["images"]


@pytest.mark.parametrize("name", ["a" * 300, "9" * 5000, "a/" * 2000, "é" * 200, '"a\\0b"'])
def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    entry = f"images:\n  - {{name: a, tag: b, purpose: x, build: {{context: {name}}}}}\n"
    with pytest.raises(ConfigError) as caught:
        load_catalog(write(tmp_path, {"images.yaml": entry}))
    assert len(printed(caught.value)) == 1
