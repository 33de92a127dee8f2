"""Images into nodes: a real engine, a real registry, real containerds; k3d is played (see `nodes`)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from uuid import uuid4

import pytest

from devtools.app.environment import App
from devtools.app.exit_codes import run
from devtools.base.image_names import parse
from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import Config, Registry
from devtools.clusters.k3d.images import K3dImages, Preloaded, Via
from devtools.commands.images.preload import preload as verb
from devtools.docker.images import DockerImages
from devtools.errors import EnvironmentFault, ExitCode, Interrupted, Location
from devtools.images.catalog import Build, Pinned
from devtools.images.fetch import ImageFetcher
from devtools.process.runner import Cancel, Command, SubprocessRunner
from tests.images.nodes import NODES, PATH, Nodes, nodes
from tests.kits.chart_servers import oci_registry
from tests.kits.stack import write

WHERE = Location(file=Path("images.yaml"))


@pytest.fixture(scope="module")
def cluster(docker_host: str) -> Iterator[Nodes]:
    with TemporaryDirectory(prefix="dt-nodes-") as home, nodes(Path(home), docker_host) as made:
        yield made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry's host and port."""
    with oci_registry(tmp_path_factory.mktemp("registry")) as url:
        yield url.removeprefix("oci://")


@dataclass(kw_only=True)
class Bench:
    """The code under test on these nodes, and what it said."""

    nodes: Nodes
    registry: str
    root: Path
    cancel: Cancel = field(default_factory=Cancel)
    lines: list[str] = field(default_factory=list)

    @property
    def engine(self) -> DockerImages:
        return DockerImages(self.nodes.environ, self.cancel)

    def fetch(self, timeout: float = 300) -> ImageFetcher:
        runner = SubprocessRunner(self.nodes.environ, self.cancel, grace=(0.2, 0.2))
        return ImageFetcher(
            engine=self.engine, runner=runner, docker=Path("docker"), timeout=timeout, say=self.lines.append
        )

    def images(self, timeout: float = 300) -> K3dImages:
        port = int(self.registry.rpartition(":")[2])
        fetch = self.fetch(timeout)
        config = Config(name="t", api_port=1, agents=1, registry=Registry(name="r", port=port))
        return K3dImages(
            config=config,
            runner=fetch.runner,
            tool=K3d(program=self.nodes.k3d, home=self.root / "k3d"),
            engine=fetch.engine,
            fetch=fetch,
            timeout=timeout,
            say=self.lines.append,
            cancel=self.cancel,
            registry=self.registry,
        )

    def built(self, content: str = "one", name: str = "") -> Pinned:
        """An image that is built here, of a name that nobody has used."""
        context = write(self.root / "context", {"Dockerfile": "FROM scratch\nCOPY file /\n", "file": content})
        reference = parse(f"{name or f'docker.io/acme/{uuid4().hex[:8]}'}:dev")
        build = Build(context=context, file=context / "Dockerfile")
        return Pinned(name=reference.name, tag=reference.tag, digest="", purpose="x", where=WHERE, build=build)

    def apart(self, name: str) -> Bench:
        """The same with files of its own."""
        return replace(self, root=self.root / name)

    def served(self) -> Pinned:
        """An image that the registry has and the engine has not."""
        made = self.built(name=f"{self.registry}/acme/{uuid4().hex[:8]}")
        self.fetch()(made)
        self.engine.push(str(made), timeout=300)
        self.nodes.run("docker", "rmi", str(made))
        return replace(made, build=None)


@pytest.fixture
def bench(cluster: Nodes, registry: str, tmp_path: Path) -> Bench:
    cluster.mode("well")
    cluster.printed()
    return Bench(nodes=cluster, registry=registry, root=tmp_path)


def states(results: tuple[Preloaded, ...]) -> list[str]:
    return [result.state for result in results]


def test_by_registry_every_node_has_what_was_pushed(bench: Bench) -> None:
    image = bench.built()
    (done,) = bench.images().load([image], "registry")
    assert (done.state, set(done.nodes), done.problem) == ("loaded", set(NODES), "")
    found = {bench.nodes.has(node, str(image)) for node in NODES}
    assert len(found) == 1
    assert all(on_node and on_node.managed for on_node in found)
    other = replace(image, name="docker.io/acme/other", tag="1")
    assert bench.images().lacking([image, other]) == (other,)
    assert states(bench.images().load([image], "registry")) == ["unchanged"]


def test_a_new_build_replaces_the_old_one_on_every_node(bench: Bench) -> None:
    image = bench.built("one")
    bench.images().load([image], "registry")
    old = bench.nodes.has(NODES[0], str(image))
    bench.built("two")
    assert states(bench.images().load([image], "registry")) == ["loaded"]
    new = {bench.nodes.has(node, str(image)) for node in NODES}
    assert len(new) == 1
    assert old not in new


def test_a_node_that_lost_it_gets_it_again(bench: Bench) -> None:
    image = bench.built()
    bench.images().load([image], "registry")
    bench.nodes.forget(NODES[1], str(image))
    bench.lines.clear()
    assert states(bench.images().load([image], "registry")) == ["loaded"]
    assert [line for line in bench.lines if "loading" in line] == [f"loading {image} into {NODES[1]}"]
    assert bench.nodes.has(NODES[1], str(image))


def test_by_import_every_node_has_what_the_engine_has(bench: Bench) -> None:
    images = [bench.built(), bench.built()]
    assert states(bench.images().load(images, "import")) == ["loaded", "loaded"]
    assert all(bench.nodes.has(node, str(image)) for node in NODES for image in images)
    assert [line for line in bench.nodes.printed() if line.startswith("image")] == [
        f"image import {images[0]} {images[1]} --cluster t --mode tools-node"
    ]
    assert states(bench.images().load(images, "import")) == ["unchanged", "unchanged"]
    assert not [line for line in bench.nodes.printed() if line.startswith("image")]


def test_an_import_that_only_says_that_it_worked_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lied_to(image: Pinned) -> Preloaded:
        bench.nodes.mode("lie")
        with monkeypatch.context() as patch:
            patch.setattr("devtools.clusters.k3d.images._NOTICED_IN", 0.3)
            (done,) = bench.images().load([image], "import")
        bench.nodes.mode("well")
        return done

    image = bench.built("one")
    done = lied_to(image)
    assert (done.state, done.code) == ("failed", ExitCode.ENVIRONMENT)
    assert done.problem == f"loading {image} reported no error, but node {NODES[1]} does not have it"
    assert done.hint == "invoke images.preload --via registry"
    bench.images().load([image], "import")
    bench.built("two")
    done = lied_to(image)
    assert done.problem == f"loading {image} reported no error, but node {NODES[1]} has another"


def test_an_import_that_hangs_ends_in_time(bench: Bench) -> None:
    bench.nodes.mode("hang")
    image = bench.built()
    bench.fetch()(image)
    (done,) = replace(bench.images(), timeout=1).load([image], "import")
    assert (done.state, done.code) == ("failed", ExitCode.TIMEOUT)
    assert done.problem == "k3d did not import images in 1 s"


def test_an_interrupt_ends_it(bench: Bench) -> None:
    bench.nodes.mode("hang")
    image = bench.built()
    Timer(0.5, lambda: bench.cancel.set("interrupted by Ctrl-C")).start()
    with pytest.raises(Interrupted):
        bench.images().load([image], "import")


def test_what_is_pulled_is_known_by_its_digest(bench: Bench) -> None:
    image = bench.served()
    (done,) = bench.images().load([image], "registry")
    assert done.state == "loaded"
    assert done.digest.startswith("sha256:")
    pinned = replace(image, digest=done.digest)
    bench.lines.clear()
    assert states(bench.images().load([pinned], "registry")) == ["unchanged"]
    assert not [line for line in bench.lines if line.startswith("pulling")]
    bench.nodes.run("docker", "rmi", "--force", str(image))
    bench.fetch()(pinned)
    held = bench.engine.find(image.reference)
    assert held
    assert held.digest(image.reference) == done.digest


def test_a_tag_that_moved_does_not_change_what_is_pinned(bench: Bench) -> None:
    image = bench.served()
    first = bench.fetch()(image).digest(image.reference)
    other = bench.built("other", name=image.reference.name)
    bench.fetch()(other)
    bench.engine.push(str(other), timeout=300)
    held = bench.fetch()(replace(image, digest=first))
    assert held.digest(image.reference) == first


def test_an_archive_is_loaded(bench: Bench) -> None:
    image = bench.built()
    bench.fetch()(image)
    archive = bench.root / "image.tar"
    bench.engine.save(str(image), archive, timeout=300)
    bench.nodes.run("docker", "rmi", str(image))
    stored = replace(image, build=None, archive=archive)
    assert states(bench.images().load([stored], "registry")) == ["loaded"]


def _no_archive(bench: Bench) -> tuple[Pinned, str]:
    image = replace(bench.built(), build=None, archive=bench.root / "none.tar")
    return image, f"archive {bench.root / 'none.tar'} of image {image} does not exist"


def _another_archive(bench: Bench) -> tuple[Pinned, str]:
    other = bench.built()
    bench.fetch()(other)
    bench.engine.save(str(other), bench.root / "other.tar", timeout=300)
    image = replace(bench.built(), build=None, archive=bench.root / "other.tar")
    return image, f"the Docker engine has no image {image}, although it reported no error"


def _broken_build(bench: Bench) -> tuple[Pinned, str]:
    image = bench.built()
    write(bench.root / "context", {"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    return image, f"{image} cannot be built: "


def _nowhere(bench: Bench) -> tuple[Pinned, str]:
    reference = parse(f"{bench.registry}/acme/nothing:1")
    image = Pinned(name=reference.name, tag=reference.tag, digest="", purpose="x", where=WHERE)
    return image, f"the Docker engine could not pull {image}: "


@pytest.mark.parametrize("via", ["registry", "import"])
def test_what_cannot_be_had_does_not_keep_the_others(via: Via, bench: Bench) -> None:
    cases = [case(bench.apart(case.__name__)) for case in (_no_archive, _another_archive, _nowhere, _broken_build)]
    good = bench.built()
    *bad, fine = bench.images().load([*(image for image, _ in cases), good], via)
    assert fine.state == "loaded"
    assert [result.state for result in bad] == ["failed"] * 4
    for result, (_, problem) in zip(bad, cases, strict=True):
        assert result.problem.startswith(problem)
    assert [result.code for result in bad] == [ExitCode.ENVIRONMENT] * 3 + [ExitCode.FAILED]


def test_a_registry_that_is_gone_is_named(bench: Bench) -> None:
    image = bench.built()
    images = bench.images()
    gone = replace(images.config, registry=Registry(name="r", port=1))
    (done,) = replace(images, config=gone).load([image], "registry")
    assert done.state == "failed"
    assert done.problem.startswith("the Docker engine could not push localhost:1/docker.io/acme/")


def test_a_node_that_cannot_reach_the_registry_says_so(bench: Bench) -> None:
    image = bench.built()
    (done,) = replace(bench.images(), registry="127.0.0.1:1").load([image], "registry")
    assert done.problem.startswith(f"node {NODES[1]} could not pull 127.0.0.1:1/docker.io/acme/")
    assert "refused" in done.problem


def test_without_a_running_cluster_nothing_is_tried(bench: Bench) -> None:
    write(bench.nodes.home, {"clusters.json": "[]"})
    with pytest.raises(EnvironmentFault, match="cluster t is not there"):
        bench.images().load([bench.built()], "registry")
    assert bench.lines == []


def test_without_an_engine_there_is_a_sentence(bench: Bench, tmp_path: Path) -> None:
    engine = DockerImages({"DOCKER_HOST": f"unix://{tmp_path}/none"}, Cancel())
    with pytest.raises(EnvironmentFault, match="no Docker engine at unix:"):
        engine.find(parse("busybox"))


def test_the_commands_that_would_be_run(bench: Bench) -> None:
    images = replace(bench.images(), tool=K3d(program=Path("k3d"), home=bench.root), registry="")
    built = bench.built(name="docker.io/acme/x")
    pulled = replace(built, build=None, name="quay.io/a/b", tag="1")
    exact = replace(pulled, digest="sha256:" + "0" * 64)
    port = images.config.registry.port
    context = bench.root / "context"
    assert typed(images.commands([built], "registry")) == (
        f"docker build --tag docker.io/acme/x:dev --file {context}/Dockerfile {context}",
        f"docker tag docker.io/acme/x:dev localhost:{port}/docker.io/acme/x:dev",
        f"docker push localhost:{port}/docker.io/acme/x:dev",
        *(
            f"docker exec {node} ctr --namespace k8s.io images {words}"
            for node in NODES
            for words in (
                "pull --plain-http k3d-r:5000/docker.io/acme/x:dev",
                "tag --force k3d-r:5000/docker.io/acme/x:dev docker.io/acme/x:dev",
            )
        ),
        *(f"docker exec {node} ctr --namespace k8s.io images ls" for node in NODES),
    )
    assert typed(images.commands([pulled, exact], "import")) == (
        "docker pull quay.io/a/b:1",
        f"docker pull quay.io/a/b@{exact.digest}",
        f"docker tag quay.io/a/b@{exact.digest} quay.io/a/b:1",
        "k3d image import quay.io/a/b:1 quay.io/a/b:1 --cluster t --mode tools-node",
        *(f"docker exec {node} ctr --namespace k8s.io images ls" for node in NODES),
    )
    assert images.commands([], "registry") == ()


def typed(commands: tuple[Command, ...]) -> tuple[str, ...]:
    return tuple(command.display() for command in commands)


def test_the_task_loads_pins_and_says_what_came(bench: Bench) -> None:
    """On provider k3d, as a user types it."""
    served = bench.served()
    name = f"docker.io/acme/{uuid4().hex[:8]}"
    text = (
        f"images:\n  - {{name: {served.reference.name}, tag: dev, digest: null, purpose: x}}\n"
        f"  - {{name: {name}, tag: dev, purpose: x, build: {{context: context}}}}\n"
    )
    root = write(bench.root, {"images.yaml": text, "devtools.yaml": "", "context/file": "x"})
    write(root, {"context/Dockerfile": "FROM scratch\nCOPY file /\n"})
    environ = {
        **bench.nodes.environ,
        "PATH": f"{bench.nodes.home}:{PATH}",
        "DEVTOOLS_PROVIDER": "k3d",
        "DEVTOOLS_CLUSTER": "t",
        "DEVTOOLS_STATE": str(bench.root / "state"),
    }

    def preload() -> tuple[ExitCode, dict[str, list[str | None]], str]:
        out, err = io.StringIO(), io.StringIO()
        app = App(environ=environ, cwd=root, out=out, err=err)
        code = run(app, lambda app: verb(app, via="import", output="json"), "json")
        rows = json.loads(out.getvalue())["images"]
        return code, {row["image"]: [row["state"], row["digest"]] for row in rows}, err.getvalue()

    code, rows, printed = preload()
    (loaded, digest), (built, none) = rows[str(served)], rows[f"{name}:dev"]
    assert (code, loaded, built, none) == (ExitCode.OK, "loaded", "loaded", None)
    assert (root / "images.yaml").read_text() == text.replace("null", str(digest))
    assert f"pinned {served} at {digest}\n" in printed
    assert all(bench.nodes.has(node, image) for node in NODES for image in rows)
    code, rows, printed = preload()
    assert (code, [state for state, _ in rows.values()]) == (ExitCode.OK, ["unchanged", "unchanged"])
    assert "pinned" not in printed
    write(root, {"context/Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    code, rows, _ = preload()
    assert (code, [state for state, _ in rows.values()]) == (ExitCode.FAILED, ["unchanged", "failed"])
    (root / "images.yaml").unlink()
    assert preload() == (ExitCode.OK, {}, "images.yaml lists no images\n")
