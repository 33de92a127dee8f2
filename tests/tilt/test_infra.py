"""The library: what it makes of the specs, in which order, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from inspect import signature
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.tasks import namespace
from devtools.tilt.harness import Step, assert_loads
from tests.kits.fuzzing import cases, scratch
from tests.kits.ports import free_port
from tests.kits.tilt import APPS, LIBRARY, ROOT, THREE, TILTFILE, Repo, layer, layers_of, made

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
WEB = "blob('apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: web}\\n')"
PATH = ("ameide_core_proto", "infra:10-base", "infra:20-operators", "infra:40-data")


def test_every_app_waits_for_the_whole_critical_path(tmp_path: Path) -> None:
    loaded = made(tmp_path).load()
    assert loaded.warnings == ()
    assert loaded.resource("web").resource_deps == PATH
    assert loaded.resource("api").resource_deps == (*PATH, "web")
    assert loaded.order() == (*PATH, "web", "api")


def test_the_protobuf_module_comes_first(tmp_path: Path) -> None:
    loaded = made(tmp_path).load()
    assert loaded.order()[0] == "ameide_core_proto"
    assert loaded.resource("ameide_core_proto").resource_deps == ()
    assert loaded.resource("ameide_core_proto").cmd == (str(tmp_path / "scripts/buf-build-push.sh"),)
    for resource in loaded.resources:
        if resource.auto_init and resource.name != "ameide_core_proto":
            assert "ameide_core_proto" in loaded.waits_for(resource.name), resource.name


def test_layers_run_one_after_the_other(tmp_path: Path) -> None:
    loaded = made(tmp_path).load()
    layers = [loaded.resource(name) for name in layers_of(loaded)]
    assert [layer.resource_deps for layer in layers] == [(name,) for name in PATH[:-1]]


def test_a_command_has_environment_context_and_kubeconfig(tmp_path: Path) -> None:
    command = made(tmp_path).load().resource("infra:40-data").cmd
    assert isinstance(command, tuple)
    pairs = dict(pairwise(command))
    assert (pairs["--env"], pairs["--context"]) == ("local", "k3d-demo")
    assert pairs["--kubeconfig"] == str(tmp_path / "state/k3d/demo/kubeconfig")


def test_labels_are_legal_and_say_the_stage(tmp_path: Path) -> None:
    long = "s" * 42
    loaded = made(tmp_path, {**THREE, "layers/50-x.yaml": layer(long, name="x")}).load()
    assert loaded.resource("infra:50-x").labels == (f"infra.layer-tests.50-{long}",)
    assert all(LABEL.fullmatch(label) for resource in loaded.resources for label in resource.labels)


def test_a_layer_that_is_removed_disappears(tmp_path: Path) -> None:
    repo = made(tmp_path)
    (tmp_path / "layers/20-core-operators.yaml").unlink()
    repo.specs()
    loaded = repo.load()
    assert loaded.order() == ("ameide_core_proto", "infra:10-base", "infra:40-data", "web", "api")
    assert not [resource for resource in loaded.resources if "20-operators" in resource.name]


def test_a_layer_that_is_added_is_in_its_place(tmp_path: Path) -> None:
    repo = made(tmp_path)
    repo.write("layers/15-secrets.yaml", layer("secrets"))
    repo.specs()
    loaded = repo.load()
    assert loaded.order()[1:4] == ("infra:10-base", "infra:15-secrets", "infra:20-operators")
    assert "infra:15-secrets" in loaded.resource("web").resource_deps
    assert loaded.resource("infra:20-operators").resource_deps == ("infra:15-secrets",)


@cases(25)
@given(numbers=st.sets(st.integers(1, 99), min_size=1, max_size=8), off=st.sets(st.integers(1, 99)))
def test_any_set_of_layers_runs_in_the_order_of_its_numbers(numbers: set[int], off: set[int]) -> None:
    names = {number: f"{number:02d}-l{number}" for number in sorted(numbers)}
    files = {
        f"layers/{name}.yaml": layer(f"s{number}", more="critical_path: false\n" if number in off else "")
        for number, name in names.items()
    }
    with scratch() as directory:
        loaded = made(Path(directory), files).load()
    assert layers_of(loaded) == [f"infra:{name}" for name in names.values()]
    critical = {f"infra:{name}" for number, name in names.items() if number not in off}
    for app in ("web", "api"):
        assert set(loaded.resource(app).resource_deps) - {"web"} == critical | {"ameide_core_proto"}
    assert loaded.warnings == ()


def test_tilt_runs_other_resources_while_a_layer_runs(tmp_path: Path) -> None:
    """While a resource runs that does not allow it, Tilt starts nothing else: neither apps nor drift."""
    repo = made(tmp_path)
    assert all(resource.allow_parallel for resource in repo.load().resources if resource.kind == "local")
    repo.write("Tiltfile", TILTFILE.replace("infra_layers(INFRA", "infra_layers(parallel=False, specs=INFRA") + APPS)
    alone = {item.name for item in repo.load().resources if item.kind == "local" and not item.allow_parallel}
    assert {"ameide_core_proto", "infra:10-base", "infra:40-data", "infra:40-data:force"} <= alone
    assert not {"infra:specs", "infra:40-data:drift"} & alone


def test_the_protobuf_module_is_published_unless_disabled(tmp_path: Path) -> None:
    repo = own(tmp_path)
    repo.specs()
    path = repo.root / "Tiltfile"
    script = str(repo.root / "scripts/buf-build-push.sh")
    assert assert_loads(path).resource("ameide_core_proto").cmd == (script,)
    assert assert_loads(path, args=["--no-push"]).resource("ameide_core_proto").cmd == (script, "--no-push")


def test_buttons_replay_a_layer_by_hand_only(tmp_path: Path) -> None:
    loaded = made(tmp_path).load()
    for flag in ("force", "only-test"):
        button = loaded.resource(f"infra:40-data:{flag}")
        assert button.cmd == (*loaded.resource("infra:40-data").cmd, f"--{flag}")
        assert (button.trigger_mode, button.auto_init, button.deps) == ("manual", False, ())
        assert button.name not in loaded.order()


def test_a_button_checks_for_drift_with_a_known_task(tmp_path: Path) -> None:
    button = made(tmp_path).load().resource("infra:40-data:drift")
    assert isinstance(button.cmd, tuple)
    assert button.cmd[-5:] == ("drift", "--name", "40-data", "--env", "local")
    assert (button.trigger_mode, button.auto_init, button.deps) == ("manual", False, ())
    assert {"name", "env"} <= set(signature(namespace["drift"].body).parameters)


def test_specs_are_rewritten_when_a_layer_changes(tmp_path: Path) -> None:
    repo = made(tmp_path)
    refresh = repo.load().resource("infra:specs")
    assert str(tmp_path / "layers") in refresh.deps
    assert (refresh.auto_init, refresh.trigger_mode) == (False, "auto")
    assert refresh.cmd[-3:] == ("specs", "--env", "local")
    assert "infra:specs" not in repo.load().order()


def needing(tmp_path: Path, needs: str, more: str = "") -> Repo:
    """A repository with an app that needs releases."""
    return made(tmp_path, tiltfile=f"{TILTFILE}{more}app('web', yaml={WEB}, needs={needs})\n")


def test_an_app_that_needs_a_release_waits_only_for_that(tmp_path: Path) -> None:
    loaded = needing(tmp_path, "['x/operators']").load()
    assert loaded.resource("web").resource_deps == ("infra:20-operators:x.operators",)
    release = loaded.resource("infra:20-operators:x.operators")
    assert release.resource_deps == ("infra:contracts",)
    assert release.cmd == ()
    watch = loaded.resource("infra:contracts")
    file = str(tmp_path / ".devtools/run/contracts")
    assert watch.cmd == ("rm", "-f", file)
    assert watch.serve_cmd[-4:] == ("contracts", "--watch", "--env", "local")
    assert {"watch", "env"} <= set(signature(namespace["contracts"].body).parameters)
    assert release.serve_cmd[-2:] == (file, "x/operators")
    assert not loaded.resource("infra:20-operators").serve_cmd, "layers are watched only on request"


def test_without_needs_nothing_is_watched(tmp_path: Path) -> None:
    assert "infra:contracts" not in {resource.name for resource in made(tmp_path).load().resources}
    assert needing(tmp_path / "none", "[]").load().resource("web").resource_deps == ()


@pytest.mark.parametrize(
    ("needs", "printed"),
    [
        ("['x/operator']", "app('web'): needs unknown release 'x/operator'; did you mean 'x/operators'?"),
        ("['operators']", "app('web'): needs unknown release 'operators'; did you mean 'x/operators'?"),
    ],
)
def test_a_release_that_does_not_exist_is_refused(tmp_path: Path, needs: str, printed: str) -> None:
    assert needing(tmp_path, needs).refusal().endswith(printed)


def test_an_app_does_not_wait_for_a_layer_that_is_not_chosen(tmp_path: Path) -> None:
    loaded = needing(tmp_path, "['x/base', 'x/data']").load("--layers", "10")
    assert loaded.resource("web").resource_deps == ("infra:10-base:x.base",)


def test_an_app_alone_enables_the_layers_it_needs(tmp_path: Path) -> None:
    loaded = needing(tmp_path, "['x/operators']").load("web")
    enabled = {item.name for item in loaded.resources if item.enabled}
    assert {*PATH[:3], "infra:20-operators:x.operators", "infra:contracts", "infra:specs", "web"} <= enabled
    assert "infra:40-data" not in enabled


def test_layers_fail_when_a_contract_breaks_if_that_is_asked_for(tmp_path: Path) -> None:
    repo = needing(tmp_path, "['x/operators']")
    repo.write("Tiltfile", (tmp_path / "Tiltfile").read_text().replace("env=cfg", "watch=True, env=cfg"))
    loaded = repo.load()
    for name in PATH[1:]:
        assert loaded.resource(name).serve_cmd[-2:-1] == (str(tmp_path / ".devtools/run/contracts"),)
    assert loaded.resource("infra:20-operators").serve_cmd[-1] == "20-core-operators"
    assert not loaded.resource("infra:40-data:force").serve_cmd


def test_links_are_shown_beside_a_layer(tmp_path: Path) -> None:
    repo = made(tmp_path)
    repo.write("Tiltfile", TILTFILE.replace("env=cfg", "links={'40-data': [link('http://x/', 'x')]}, env=cfg"))
    assert repo.load().resource("infra:40-data").links == ("http://x/",)


# --- what Tilt's arguments choose


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("--layers", "10"), PATH[:2]),
        (("--layers", "10,20"), PATH[:3]),
        (("--layers", "10", "--layers", "operators"), PATH[:3]),
        (("--layers=20-core-operators",), PATH[:3]),
        (("--layers", " 20-operators , "), PATH[:3]),
        (("--layers", "infra:40-data"), PATH),
        (("--layers", ""), PATH),
        (("--env", "local"), PATH),
    ],
)
def test_layers_are_chosen_with_what_they_wait_for(tmp_path: Path, args: tuple[str, ...], wanted: tuple[str]) -> None:
    loaded = made(tmp_path).load(*args)
    assert loaded.order() == (*wanted, "web", "api")
    assert loaded.resource("web").resource_deps == wanted
    assert loaded.warnings == ()


def test_resources_are_still_chosen_by_name(tmp_path: Path) -> None:
    loaded = made(tmp_path).load("infra:20-operators")
    assert loaded.order() == PATH[:3]


@pytest.mark.parametrize(
    ("args", "printed"),
    [
        (("--layers", "40-dta"), "--layers: unknown layer '40-dta'; did you mean '40-data'?"),
        (("--layers", "99"), "--layers: unknown layer '99'; there are: 10, 20, 40"),
        (("--env", "dev"), "the layer specs are those of environment 'local'; type: invoke specs --env dev"),
        (("--env", "lokal"), "unknown environment 'lokal'; did you mean 'local'?"),
        (("--layer", "10"), "unknown flag: --layer"),
        (("nowhere",), 'could not be found: "nowhere"'),
    ],
)
def test_arguments_that_mean_nothing_are_refused(tmp_path: Path, args: tuple[str, ...], printed: str) -> None:
    environments = {"environments/dev/environment.yaml": "", "environments/local/environment.yaml": ""}
    assert printed in made(tmp_path, {**THREE, **environments}).refusal(*args)


# --- what it refuses in a Tiltfile


@pytest.mark.parametrize(
    ("lines", "printed"),
    [
        (
            "app('web', resource_deps=['infra:40-dat'])",
            "unknown resource_deps 'infra:40-dat'; did you mean 'infra:40-data'?",
        ),
        (
            "app('web', resource_deps=['qqqqqqqqqqqq'])",
            "unknown resource_deps 'qqqqqqqqqqqq'; there are: ameide_core_proto",
        ),
        (f"app('web', yaml={WEB})\napp('web', yaml={WEB})", "app('web'): there is a resource of this name already"),
        (f"app('infra:40-data', yaml={WEB})", "there is a resource of this name already"),
        (f"app('wbe', yaml={WEB})", 'k8s_resource specified unknown resource "wbe"'),
        ("infra_layers(INFRA_LAYER_SPECS)", 'local_resource named "ameide_core_proto" already exists'),
        ("infra_layers(INFRA_LAYER_SPECS, links={'40-dat': []})", "unknown layer '40-dat'; did you mean '40-data'?"),
        ("infra_layers({})", "there are no layer specs yet; type: invoke specs"),
        ("infra_layers({'version': 7})", "the layer specs are of version 7, this library reads version 1"),
    ],
)
def test_mistakes_are_reported_with_close_matches(tmp_path: Path, lines: str, printed: str) -> None:
    assert printed in made(tmp_path, tiltfile=TILTFILE + lines + "\n").refusal()


def test_an_app_before_the_layers_is_refused(tmp_path: Path) -> None:
    first, rest = TILTFILE.split("\n", 1)
    repo = made(tmp_path, tiltfile=f"{first}\napp('web', yaml={WEB})\n{rest}")
    assert repo.refusal() == "Error in fail: app('web'): call infra_layers(...) first"


def test_an_app_without_its_call_of_infra_layers_is_refused(tmp_path: Path) -> None:
    """Tilt's environment outlives a load."""
    first, _ = TILTFILE.split("\n", 1)
    repo = made(tmp_path, tiltfile=f"{first}\napp('web', yaml={WEB})\n")
    cluster = {"context": "k3d-demo", "kubeconfig": "/x", "provider": "k3d"}
    stale = {"tiltfile": str(tmp_path / "Tiltfile"), "critical_path": [], "resources": [], "apps": []}
    memory = json.dumps({**stale, "cluster": cluster, "helm": ""})
    assert (
        repo.refusal(env={"DEVTOOLS_TILT_INFRA": memory}) == "Error in fail: app('web'): call infra_layers(...) first"
    )


def test_tilt_down_says_that_layers_stay(tmp_path: Path) -> None:
    repo = made(tmp_path)
    assert repo.load().output == ()
    assert repo.load(subcommand="down").output == (
        "tilt down leaves the layers as they are; to uninstall them, type: invoke down",
    )


def test_without_specs_it_says_what_to_type(tmp_path: Path) -> None:
    repo = made(tmp_path)
    (tmp_path / ".devtools/layer-specs.json").unlink()
    assert repo.refusal() == "Error in fail: there are no layer specs yet; type: invoke specs"


def test_apps_never_go_to_another_context_than_the_layers(tmp_path: Path) -> None:
    repo = made(tmp_path)
    assert repo.load(context="k3d-demo").resource("web").resource_deps == PATH
    printed = repo.refusal(context="k3d-other")
    assert printed.startswith(
        "Error in fail: app('web') would go to context k3d-other, the layers go to k3d-demo; type: KUBECONFIG="
    )
    assert printed.endswith(f"{tmp_path}/state/k3d/demo/kubeconfig tilt up --context k3d-demo")


def test_only_our_own_context_is_allowed(tmp_path: Path) -> None:
    repo = made(tmp_path, provider="kwok")
    assert repo.load(context="kwok-demo").allowed_contexts == ("kwok-demo",)
    assert made(tmp_path / "k3d").load().allowed_contexts == ("k3d-demo",)


def test_loading_runs_nothing_and_reads_the_specs_once(tmp_path: Path) -> None:
    loaded = made(tmp_path).load()
    assert loaded.locals == ()
    text = TILTFILE + LIBRARY.read_text()
    assert len(re.findall(r"\bread_(?:json|file|yaml)\(", text.split('"""', 2)[0] + text.split('"""', 2)[2])) == 1
    assert str(tmp_path / ".devtools/layer-specs.json") in loaded.reads


DEPLOYMENT = (
    "blob('apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: web}\\n"
    "spec: {template: {spec: {containers: [{name: web, image: web}]}}}\\n')"
)
IMAGE = (
    f"app('web', image='web', context='apps/web', yaml={DEPLOYMENT}, port_forwards=['8010:80'],\n"
    "    live_update=[sync('apps/web', '/app')])\n"
)


def test_an_app_is_built_deployed_and_updated_live(tmp_path: Path) -> None:
    loaded = made(tmp_path, {**THREE, "apps/web/Dockerfile": "FROM scratch\n"}, TILTFILE + IMAGE).load()
    (image,) = loaded.images
    assert (image.context, image.dockerfile) == (f"{tmp_path}/apps/web", f"{tmp_path}/apps/web/Dockerfile")
    assert [step.kind for step in image.live_update] == ["sync"]
    assert loaded.resource("web").images == ("web",)
    assert loaded.resource("web").port_forwards == ("8010:80",)


def test_simulated_nodes_get_no_image_and_no_port_forward(tmp_path: Path) -> None:
    repo = made(tmp_path, {**THREE, "apps/web/Dockerfile": "FROM scratch\n"}, TILTFILE + IMAGE, provider="kwok")
    loaded = repo.load(context="kwok-demo")
    web = loaded.resource("web")
    assert (web.images, web.port_forwards) == ((), ())
    assert web.resource_deps == PATH
    (image,) = loaded.images  # the live_update steps must belong to an image: Tilt refuses those that do not
    assert (image.ref, len(image.live_update)) == ("not-built.invalid/web", 1)
    assert loaded.settings["update_settings"] == {"suppress_unused_image_warnings": [image.ref]}


# --- this repository's own


def own(tmp_path: Path) -> Repo:
    """This repository, with its specs in a directory of the test's: what is checked out stays as it is."""
    root = tmp_path / "repo"
    root.mkdir()
    for name in ("charts", "environments", "layers", "scripts", "proto"):
        if (ROOT / name).exists():
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    for name in ("apps", "devtools/tilt"):  # the harness reads nothing that a link leads to
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Tiltfile", "devtools.yaml"):
        shutil.copy(ROOT / name, root / name)
    return Repo(root=root)


def test_this_repositorys_tiltfile_loads_without_a_cluster(tmp_path: Path) -> None:
    repo = own(tmp_path)
    assert repo.refusal() == "Error in fail: there are no layer specs yet; type: invoke specs"
    repo.specs()
    loaded = assert_loads(repo.root / "Tiltfile")
    layers = sorted(path.stem for path in (ROOT / "layers").glob("[0-9]*.yaml"))
    assert len(layers_of(loaded)) == len(layers)
    critical = json.loads((repo.root / ".devtools" / "layer-specs.json").read_text(encoding="utf-8"))["critical_path"]
    assert 5 < len(critical) <= len(layers)
    assert set(loaded.resource("hello").resource_deps) >= set(critical)
    assert loaded.order()[-1] == "hello"
    assert loaded.order()[0] == "ameide_core_proto"
    assert [step.values["remote_path"] for step in loaded.images[0].live_update] == ["/app"]


def test_the_sample_app_is_deployed_with_the_image_that_is_built(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    repo = own(tmp_path)
    repo.specs()

    def render(call: Step) -> str:
        words = [call.values["name"], call.values["chart"], "--namespace", call.values["namespace"]]
        argv = [str(tool("helm")), "template", *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300).stdout

    loaded = assert_loads(repo.root / "Tiltfile", render=render)
    hello = loaded.resource("hello")
    assert hello.objects == ("deployment/hello", "service/hello")
    assert hello.images == ("ameide-hello",)
    assert hello.port_forwards == ("8010:8000",)
    assert loaded.warnings == ()


def test_the_sample_app_restarts_when_its_code_changes(tmp_path: Path) -> None:
    code = shutil.copy(ROOT / "apps/hello/src/hello.py", tmp_path)
    port = free_port()
    server = subprocess.Popen([sys.executable, code], env={"PORT": str(port), "HOSTNAME": "pod-1"})
    try:
        assert answer(port, "/", "hello from pod-1\n") == 200
        assert answer(port, "/healthz", "ok\n") == 200
        assert answer(port, "/nothing", "not found\n") == 404
        Path(code).write_text(Path(code).read_text().replace("hello from", "good day from"))
        assert answer(port, "/", "good day from pod-1\n") == 200
        assert server.poll() is None
    finally:
        server.kill()
        server.wait()


def answer(port: int, path: str, wanted: str) -> int:
    """The status, once the answer is what is wanted."""
    last = ""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            last = response.read().decode()
            if last == wanted:
                return response.status
        except OSError as error:
            last = str(error)
        finally:
            connection.close()
        time.sleep(0.1)
    raise AssertionError(f"{path}: {last}")
