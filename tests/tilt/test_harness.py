"""The harness behaves as Tilt does where Tilt surprises; and the library holds up on a real Tilt where there is one."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from devtools.errors import EnvironmentFault
from devtools.tilt.harness import Loaded, Step, TiltfileError, assert_loads, load_tiltfile
from devtools.tilt.harness.dialect import check_starlark
from tests.kits.tilt import ROOT, THREE, made
from tests.tilt import real
from tests.tilt.real import NEEDS_TILT

WEB = "k8s_yaml(blob('apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: web}\\n'))\n"


def tiltfile(root: Path, text: str, **files: str) -> Path:
    for name, content in {"Tiltfile": text, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root / "Tiltfile"


def load(root: Path, text: str, args: Sequence[str] = (), **surroundings: Any) -> Loaded:
    return load_tiltfile(tiltfile(root, text), args=args, **surroundings)


def refusal(root: Path, text: str, **surroundings: Any) -> str:
    with pytest.raises(TiltfileError) as refused:
        load(root, text, **surroundings)
    return refused.value.message


# --- what Tilt refuses, as (Tiltfile, part of what is message)

REFUSED = {
    "label with a colon": ("local_resource('a', 'true', labels=['infra:40'])", 'Invalid label "infra:40"'),
    "label of 64": (f"local_resource('a', 'true', labels=['{'x' * 64}'])", "no more than 63 bytes"),
    "label ends in a dot": ("local_resource('a', 'true', labels='x.')", 'Invalid label "x."'),
    "empty label": ("local_resource('a', 'true', labels=[''])", 'Invalid label ""'),
    "name with a slash": ("local_resource('a/b', 'true')", "may not contain '/'"),
    "name with a percent": ("local_resource('a%b', 'true')", "may not contain '%'"),
    "no command": ("local_resource('a')", "must have a cmd and/or a serve_cmd"),
    "env value that is no string": (
        "local_resource('a', 'true', env={'N': 1})",
        "value is not a string: starlark.Int (1)",
    ),
    "the same name twice": (
        "local_resource('a', 'x')\nlocal_resource('a', 'y')",
        'local_resource named "a" already exists',
    ),
    "unknown keyword": ("local_resource('a', 'true', colour='red')", 'unexpected keyword argument "colour"'),
    "deps that are a blob": (
        "local_resource('a', 'true', deps=[blob('x')])",
        "expected path | string. Actual type: io.Blob",
    ),
    "blob plus string": ("x = blob('a') + 'b'", "not supported"),
    "yaml text where a path is meant": ("k8s_yaml('kind: Pod')", "error reading yaml file: open"),
    "yaml that is no object": ("k8s_yaml(blob('a: 1'))", "Object 'Kind' is missing"),
    "unknown workload": (WEB + "k8s_resource('wbe')", 'unknown resource "wbe". known k8s resources: web'),
    "two objects alike": (WEB + WEB, "Duplicate YAML: Deployment web"),
    "a cycle": (
        "local_resource('a', 'x', resource_deps=['b'])\nlocal_resource('b', 'x', resource_deps=['a'])",
        "cycle detected in resource dependency graph: a -> b -> a",
    ),
    "a missing file": ("read_file('nothing')", "nothing: no such file or directory"),
    "a missing JSON file": ("read_json('nothing.json')", "no such file"),
    "broken JSON": ("decode_json('{')", "error parsing JSON: unexpected EOF"),
    "a Dockerfile that is not there": ("docker_build('a', '.')", "Dockerfile: no such file"),
    "sync after run": (
        "docker_build('a', '.', dockerfile_contents='FROM x', live_update=[run('a'), sync('.', '/a')])",
        "all sync steps must precede all run steps",
    ),
    "a local command": ("local('ls')", "the harness runs nothing"),
    "fail": ("fail('no')", "Error in fail: no"),
    "fail in a function": ("def f():\n    fail('deep')\nf()", "deep"),
    "a load of nothing": ("load('./nothing', 'x')", "nothing: no such file or directory"),
    "an extension": ("load('ext://restart_process', 'x')", "extension restart_process is not available"),
    "settings after parsing": ("config.parse()\nconfig.define_string('a')", "cannot be called after config.parse"),
    "a setting twice": ("config.define_string('a')\nconfig.define_bool('a')", "a defined multiple times"),
    "a function nobody has": ("no_such_thing()", "undefined: no_such_thing"),
    "a blob formatted": ("local_resource('a', 'echo {}'.format(blob('x')))", "needs str(…) around it"),
    # Starlark of Tilt's and of the harness agree on these
    "f-strings": ("x = 1\ny = f'{x}'", "f-strings"),
    "type annotations": ("def f(x: int):\n    pass", "type annotations are not allowed"),
    "try": ("try:\n    pass\nexcept:\n    pass", "Parse error"),
    "is": ("x = 1 is 1", "Parse error"),
    "strings side by side": ("x = 'a' 'b'", "Parse error"),
    "padded numbers": ("x = '%05d' % 1", ""),
    "json of another Starlark": ("json.encode({})", "undefined: json"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_it_refuses_what_tilt_refuses(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_a_refusal_says_where(tmp_path: Path) -> None:
    with pytest.raises(TiltfileError) as refused:
        load(tmp_path, "x = 1\nlocal_resource('a')\n")
    assert refused.value.hint == f"at {tmp_path}/Tiltfile:2:1"
    with pytest.raises(AssertionError, match=r"does not load: Error in local_resource: (.|\n)*Tiltfile:2:1"):
        assert_loads(tmp_path / "Tiltfile")


# --- what Tilt takes, and what becomes of it


def test_names_may_hold_colons_and_labels_dots(tmp_path: Path) -> None:
    text = "local_resource('infra:40', ['true'], labels=['infra.layer-tests.data-plane'])"
    assert load(tmp_path, text).resource("infra:40").labels == ("infra.layer-tests.data-plane",)


def test_unknown_dependencies_are_dropped_with_a_warning_only(tmp_path: Path) -> None:
    loaded = load(tmp_path, "local_resource('a', 'x', resource_deps=['b', 'c'])\nlocal_resource('c', 'x')")
    assert loaded.resource("a").resource_deps == ("c",)
    assert loaded.warnings == ("resource a specified a dependency on unknown resource b - dependency ignored",)


def test_defaults_are_tilts(tmp_path: Path) -> None:
    made = load(tmp_path, "local_resource('a', 'x')").resource("a")
    assert (made.allow_parallel, made.auto_init, made.trigger_mode, made.dir) == (False, True, "auto", str(tmp_path))


def test_words_are_run_as_they_are_and_text_by_a_shell(tmp_path: Path) -> None:
    loaded = load(tmp_path, "local_resource('a', ['echo', '$HOME'])\nlocal_resource('b', 'echo $HOME')")
    assert (loaded.resource("a").cmd, loaded.resource("b").cmd) == (("echo", "$HOME"), "echo $HOME")


def test_local_and_read_file_give_blobs_that_are_no_strings(tmp_path: Path) -> None:
    text = (
        "one = local(['git', 'rev-parse'])\ntwo = read_file('Tiltfile')\nthree = helm('chart')\n"
        "print(type(one), type(two), type(three), type('x'), str(one).strip())\n"
    )
    (tmp_path / "chart").mkdir()
    loaded = load(tmp_path, text, local=lambda _: "abc\n")
    assert loaded.output == ("blob blob blob string abc",)
    assert loaded.locals == (("git", "rev-parse"),)


def test_local_is_refused_on_a_context_that_may_be_production(tmp_path: Path) -> None:
    message = refusal(tmp_path, "local('ls')", context="prod", local=lambda _: "")
    assert "Refusing to run 'local' because prod might be a production kube context." in message
    assert "allow_k8s_contexts('prod')" in message
    text = "allow_k8s_contexts('prod')\nlocal('ls')"
    assert load(tmp_path, text, context="prod", local=lambda _: "").allowed_contexts == ("prod",)
    for context in ("k3d-x", "kind-x", "minikube", "docker-desktop", ""):
        assert load(tmp_path, "local('ls')", context=context, local=lambda _: "").locals == ("ls",)


def test_so_are_kubernetes_objects_when_the_tiltfile_ends(tmp_path: Path) -> None:
    assert "kwok-x might be production" in refusal(tmp_path, WEB, context="kwok-x")
    assert load(tmp_path, WEB + "allow_k8s_contexts(['kwok-x'])", context="kwok-x").resources
    assert load(tmp_path, "local_resource('a', 'x')", context="kwok-x").resources, "commands alone are fine"


def test_files_that_are_read_are_watched(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"a": [1, null, true, "x"]}')
    text = "print(read_json('data.json')['a'])\nprint(read_json('none.json', default={'b': 1})['b'])\nwatch_file('w')"
    loaded = load(tmp_path, text)
    assert loaded.output == ('[1, None, True, "x"]', "1")
    assert loaded.reads == tuple(str(tmp_path / name) for name in ("Tiltfile", "data.json", "none.json", "w"))


def test_paths_are_meant_from_the_executed_files_directory(tmp_path: Path) -> None:
    library = "def make(name):\n    local_resource(name, 'x', deps=['d'])\nlocal_resource('inner', 'x', deps=['d'])\n"
    path = tiltfile(tmp_path, "load('./lib/l.star', 'make')\nmake('outer')", **{"lib/l.star": library})
    loaded = load_tiltfile(path)
    assert loaded.resource("inner").deps == (f"{tmp_path}/lib/d",)
    assert loaded.resource("outer").deps == (f"{tmp_path}/d",)


def test_a_loaded_file_is_executed_once_and_frozen(tmp_path: Path) -> None:
    library = "print('once')\nSTATE = []\ndef f():\n    STATE.append(1)\n"
    path = tiltfile(tmp_path, "load('l.star', 'f')\nload('./l.star', g='f')\nprint('twice')", **{"l.star": library})
    assert load_tiltfile(path).output == ("once", "twice")
    tiltfile(tmp_path, "load('l.star', 'f')\nf()")
    with pytest.raises(TiltfileError, match="Immutable"):
        load_tiltfile(path)


def test_directories_and_circular_loads_are_refused(tmp_path: Path) -> None:
    path = tiltfile(tmp_path, "load('./sub/Tiltfile', 'x')\nprint(x)", **{"sub/Tiltfile": "x = 'there'"})
    assert load_tiltfile(path).output == ("there",)
    assert "is a directory" in refusal(tmp_path, "load('./sub', 'x')")
    tiltfile(tmp_path, "load('a.star', 'x')", **{"a.star": "load('b.star', 'x')", "b.star": "load('a.star', 'x')"})
    with pytest.raises(TiltfileError, match="Circular load"):
        load_tiltfile(path)


def test_load_dynamic_gives_the_names_of_a_module(tmp_path: Path) -> None:
    library = "A, B = 1, 2\nfor C in [3]:\n    pass\n_hidden = 4\ndef f(x):\n    inner = x\n    return inner + A\n"
    text = "m = load_dynamic('./' + 'l.star')\nn = load_dynamic('l.star')\nprint(sorted(m.keys()), m['f'](1), n['B'])"
    path = tiltfile(tmp_path, text, **{"l.star": library})
    assert load_tiltfile(path).output == ('["A", "B", "C", "_hidden", "f"] 2 2',)


def test_exit_ends_a_tiltfile_that_has_loaded(tmp_path: Path) -> None:
    loaded = load(tmp_path, "local_resource('a', 'x')\nexit('enough')\nlocal_resource('b', 'x')")
    assert loaded.order() == ("a",)
    assert loaded.output == ('"enough"',)


def test_settings_come_from_arguments_and_over_a_file(tmp_path: Path) -> None:
    text = (
        "config.define_string_list('to-run', args=True)\nconfig.define_string('env')\nconfig.define_bool('fast')\n"
        "config.define_string_list('only')\nprint(config.parse())\n"
    )
    (tmp_path / "tilt_config.json").write_text('{"env": "dev", "fast": true}')
    assert load(tmp_path, text).output == ('{"env": "dev", "fast": True}',)
    args = ("a", "--env", "local", "--fast=false", "b", "--only", "1,2", "--only=3")
    assert load(tmp_path, text, args).output == (
        '{"env": "local", "fast": False, "only": ["1,2", "3"], "to-run": ["a", "b"]}',
    )


def test_words_choose_resources_unless_they_are_settings(tmp_path: Path) -> None:
    text = "local_resource('a', 'x')\nlocal_resource('b', 'x', resource_deps=['a'])\nlocal_resource('c', 'x')\n"
    assert load(tmp_path, text, ["b"]).order() == ("a", "b")
    assert load(tmp_path, text + "config.set_enabled_resources(['c'])\n").order() == ("c",)
    assert load(tmp_path, text + "config.clear_enabled_resources()\n").order() == ()
    assert 'positional CLI args ("b")' in refusal(tmp_path, text + "config.parse()\n", args=["b"])


def test_the_environment_is_the_argument(tmp_path: Path) -> None:
    text = (
        "print(os.getenv('A'), os.getenv('B', 'none'), os.environ.get('A'))\nos.putenv('B', 'set')\n"
        "print(os.getenv('B'), os.path.join('a', 'b'), os.path.exists('Tiltfile'), os.getcwd(), __file__)\n"
        "print(config.main_path, config.tilt_subcommand, k8s_context(), shlex.quote('a b'))\n"
    )
    loaded = load(tmp_path, text, env={"A": "1"}, context="k3d-x", subcommand="ci")
    assert loaded.output == (
        "1 none 1",
        f"set a/b True {tmp_path} {tmp_path}/Tiltfile",
        f"{tmp_path}/Tiltfile ci k3d-x 'a b'",
    )


def test_workloads_are_configured_renamed_and_extended(tmp_path: Path) -> None:
    objects = "apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: %s}\\n"
    text = (
        WEB
        + "".join(f"k8s_yaml(blob('{objects % name}'))\n" for name in ("conf", "other"))
        + (
            "k8s_resource('web', new_name='shop', port_forwards=[8000, '81:80', port_forward(9, 8)], labels='apps',\n"
            "    objects=['conf:configmap'], trigger_mode=TRIGGER_MODE_MANUAL,\n"
            "    links=['http://x', link('http://y', 'y')])\n"
            "k8s_resource(new_name='crds', objects=['other'])\nlocal_resource('t', 'x', resource_deps=['shop'])\n"
        )
    )
    loaded = load(tmp_path, text)
    shop = loaded.resource("shop")
    assert shop.port_forwards == ("8000", "81:80", "9:8")
    assert (shop.links, shop.labels, shop.trigger_mode) == (("http://x", "http://y"), ("apps",), "manual")
    assert shop.objects == ("deployment/web", "configmap/conf")
    assert loaded.order() == ("shop", "crds", "t")
    with pytest.raises(KeyError, match="near: shop"):
        loaded.resource("shp")


def test_charts_are_rendered_by_whom_the_caller_says(tmp_path: Path) -> None:
    (tmp_path / "chart").mkdir()
    calls: list[Step] = []

    def render(call: Step) -> str:
        calls.append(call)
        return "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\n"

    text = "k8s_yaml(helm('chart', name='r', namespace='n', values=['v.yaml'], set=['a=1']))"
    loaded = load(tmp_path, text, render=render)
    assert loaded.resource("db").objects == ("statefulset/db",)
    assert calls[0].values["values"] == (f"{tmp_path}/v.yaml",)
    assert (calls[0].values["name"], calls[0].values["namespace"], calls[0].values["set"]) == ("r", "n", ("a=1",))


def test_an_unused_image_is_a_warning(tmp_path: Path) -> None:
    text = "docker_build('a', '.', dockerfile_contents='FROM x')\nupdate_settings(max_parallel_updates=2)\n" + WEB
    loaded = load(tmp_path, text)
    assert loaded.warnings[0].startswith("Image not used in any Kubernetes config:\n    ✕ a\n")
    assert loaded.settings["update_settings"] == {"max_parallel_updates": 2}


def test_without_starlark_it_says_what_to_install() -> None:
    check_starlark()
    code = (
        "import sys\nsys.modules['starlark'] = None\nfrom devtools.tilt.harness import load_tiltfile\n"
        "from pathlib import Path\ntry:\n    load_tiltfile(Path('Tiltfile'))\nexcept Exception as error:\n"
        "    print(type(error).__name__, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{EnvironmentFault.__name__} type: pip install starlark-pyo3\n"


# --- the documents


def test_every_tiltfile_of_the_documents_loads(tmp_path: Path) -> None:
    page = (ROOT / "docs/tilt.md").read_text()
    blocks = re.findall(r"```python\n# Tiltfile\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 2
    for number, block in enumerate(blocks):
        repo = made(tmp_path / str(number), {**THREE, "apps/web/Dockerfile": "FROM scratch\n"}, block)
        (repo.root / "apps/web/chart").mkdir()
        loaded = repo.load()
        assert "infra:40-data" in loaded.resource("web").resource_deps
        assert loaded.warnings == ()


def test_the_test_of_the_documents_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs/tilt.md").read_text()
    (block,) = re.findall(r"```python\n# tests/test_tiltfile.py\n(.*?)```", page, re.DOTALL)
    (tiltfile_block, *_) = re.findall(r"```python\n# Tiltfile\n(.*?)```", page, re.DOTALL)
    repo = made(tmp_path, {**THREE, "apps/web/Dockerfile": "FROM scratch\n"}, tiltfile_block)
    (repo.root / "apps/web/chart").mkdir()
    repo.write("tests/test_tiltfile.py", block)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


# --- what a Tiltfile can reach

READS = {
    "read_file": "read_file('PATH')",
    "read_json": "read_json('PATH')",
    "read_yaml": "read_yaml('PATH')",
    "load": "load('PATH', 'x')",
    "load_dynamic": "load_dynamic('PATH')",
    "include": "include('PATH')",
    "k8s_yaml": "k8s_yaml('PATH')",
    "filter_yaml": "filter_yaml('PATH')",
    "docker_build": "docker_build('a', '.', dockerfile='PATH')",
    "docker_compose": "docker_compose('PATH')",
    "helm": "helm('PATH')",
    "local_git_repo": "local_git_repo('PATH')",
    "realpath": "os.path.realpath('PATH')",
}


@pytest.mark.parametrize("text", READS.values(), ids=READS)
@pytest.mark.parametrize("path", ["../secret", "ABSOLUTE", "link", "folder/secret"])
def test_it_reads_nothing_outside_the_repository(tmp_path: Path, text: str, path: str) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    secret = tmp_path / "secret"
    secret.write_text('{"x": "hush"}')
    (root / "link").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path)
    message = refusal(root, text.replace("PATH", path.replace("ABSOLUTE", str(secret))))
    assert "hush" not in message
    assert "no such file" in message or "does not exist" in message


def test_outside_the_repository_nothing_exists(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    (tmp_path / "secret").write_text("hush")
    (root / "tilt_config.json").symlink_to(tmp_path / "secret")
    text = (
        "print(os.path.exists('../secret'), listdir('..'), listdir('/'), str(read_file('../secret', 'none')))\n"
        "print(config.parse(), os.environ, os.getenv('HOME'), len(sys.argv))\n"
    )
    assert load(root, text).output == ("False [] [] none", '{} {"DEVTOOLS_TILT_HARNESS": "1"} None 2')
    path = tiltfile(root, "print(read_file('../secret'))")
    assert load_tiltfile(path, root=tmp_path).output == ("hush",)


def test_the_work_tree_around_the_tiltfile_is_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "shared").write_text("there")
    assert load(tmp_path / "apps/web", "print(read_file('../../shared'))").output == ("there",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path, "read_file('pipe')")


@pytest.mark.parametrize(
    "body", ["metadata: [a]", "spec: x", "spec: {template: [1]}", "spec: {template: {spec: {containers: x}}}"]
)
def test_odd_objects_are_not_a_crash(tmp_path: Path, body: str) -> None:
    objects = f"apiVersion: apps/v1\\nkind: Deployment\\n{body}\\n"
    with contextlib.suppress(TiltfileError):
        load(tmp_path, f"k8s_yaml(blob('{objects}'))")


# --- a real Tilt, where there is one


@NEEDS_TILT
def test_a_real_tilt_agrees(tmp_path: Path) -> None:
    for number, args in enumerate([(), ("--layers", "10"), ("--layers", "40-dta"), ("infra:20-operators",)]):
        _agree(tmp_path / str(number), args)


def _agree(tmp_path: Path, args: tuple[str, ...]) -> None:
    """The harness and the real Tilt make the same of this repository's Tiltfile."""
    tmp_path.mkdir()
    repo = made(tmp_path)
    theirs = real.load(tmp_path, *args)
    if "40-dta" in args:
        assert theirs.code == 5, theirs.err
        assert repo.refusal(*args) in theirs.err
        return
    assert theirs.code == 0, theirs.err
    ours = repo.load(*args, subcommand="alpha tiltfile-result")
    assert list(theirs.manifests) == [item.name for item in ours.resources]
    assert set(theirs.enabled) == {item.name for item in ours.resources if item.enabled}
    for resource in ours.resources:
        item = theirs.manifests[resource.name]
        assert sorted(item["ResourceDependencies"] or []) == sorted(resource.resource_deps)
        assert sorted(item["Labels"] or {}) == sorted(resource.labels)
        if resource.kind == "local":
            assert tuple(item["DeployTarget"]["UpdateCmdSpec"]["args"]) == resource.cmd
            assert item["DeployTarget"]["AllowParallel"] == resource.allow_parallel
