"""An existing cluster: only an allowed context, copied and never changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from devtools.clusters.context import ContextProvider
from devtools.clusters.provider import Cluster
from devtools.errors import ConfigError, EnvironmentFault
from tests.platform.support import run


def write(path: Path, name: str = "team") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "production",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"token": "s3cret", "client-key": "/abs/key"}}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u", "namespace": "mine"}},
            {"name": "production", "context": {"cluster": "c", "user": "u"}},
            {"name": "torn", "context": {"cluster": "gone", "user": "u"}},
        ],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def provider(name: str, tmp_path: Path, *files: Path, allowed: tuple[str, ...] = ("team", "torn")) -> ContextProvider:
    return ContextProvider(name, allowed=allowed, kubeconfigs=files, state=tmp_path / "state")


def test_find_copies_this_context_alone(tmp_path: Path) -> None:
    user = write(tmp_path / "home" / "config")
    before = user.read_bytes()
    cluster = provider("team", tmp_path, tmp_path / "absent", user).find()
    assert (cluster.context, cluster.provider) == ("team", "context")
    copied = yaml.safe_load(cluster.kubeconfig.read_text())
    assert copied["current-context"] == "team"
    assert [entry["name"] for entry in copied["contexts"]] == ["team"]
    assert copied["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "home" / "ca.crt")
    assert copied["users"][0]["user"] == {"token": "s3cret", "client-key": "/abs/key"}
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert user.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "copied"), [("./bin/login", "{}/bin/login"), ("aws", "aws"), ("/bin/aws", "/bin/aws")]
)
def test_a_plugin_is_found_where_the_user_has_it(tmp_path: Path, command: str, copied: str) -> None:
    user = write(tmp_path / "config")
    user.write_text(user.read_text().replace("token: s3cret", f"exec: {{command: {command}, args: [a/b]}}"))
    made = yaml.safe_load(provider("team", tmp_path, user).find().kubeconfig.read_text())
    assert made["users"][0]["user"]["exec"] == {"command": copied.format(tmp_path), "args": ["a/b"]}


def test_what_is_not_allowed_is_refused(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    with pytest.raises(ConfigError, match=r"production may not be written to \(allowed: team, torn\)") as caught:
        provider("production", tmp_path, user).find()
    assert "allowed_contexts" in caught.value.hint
    with pytest.raises(ConfigError):
        provider("production", tmp_path, user).ensure(print)


def test_a_cluster_of_the_same_name_does_not_replace_another(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    there = provider("team", tmp_path, user).find()  # a run under way, whose helm reads the file again and again
    before = there.kubeconfig.read_text()
    user.write_text(user.read_text().replace("https://127.0.0.1:1", "https://127.0.0.1:2"))
    elsewhere = provider("team", tmp_path, user)
    assert elsewhere.kubeconfig() == elsewhere.find().kubeconfig != there.kubeconfig
    assert there.kubeconfig.read_text() == before


def test_new_credentials_are_those_of_the_same_cluster(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    mine = provider("team", tmp_path, user)
    before = mine.find().kubeconfig
    user.write_text(user.read_text().replace("s3cret", "n3w"))
    assert mine.find().kubeconfig == before
    assert "n3w" in before.read_text()
    assert provider("team", tmp_path, before).find().kubeconfig == before, "as it is handed to Tilt"


def test_a_kubeconfig_without_the_context_is_named(tmp_path: Path) -> None:
    assert provider("team", tmp_path, tmp_path / "absent").kubeconfig() == tmp_path / "state" / "kubeconfig"
    assert not (tmp_path / "state").exists()


def test_a_context_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="yaml names none") as caught:
        provider("", tmp_path, write(tmp_path / "config")).find()
    assert "context: NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "allowed", "message"),
    [("other", ("other",), "no context 'other'"), ("torn", ("torn",), "no cluster 'gone'")],
)
def test_missing_parts_are_named(tmp_path: Path, name: str, allowed: tuple[str, ...], message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        provider(name, tmp_path, write(tmp_path / "config"), allowed=allowed).find()


def test_files_that_are_no_kubeconfigs(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("- a\n")
    with pytest.raises(EnvironmentFault, match="is not a kubeconfig"):
        provider("team", tmp_path, bad).find()
    bad.write_text("{")
    with pytest.raises(EnvironmentFault, match="cannot read"):
        provider("team", tmp_path, bad).find()
    long = tmp_path / ("a" * 300)  # looking at it fails, as it does where we may not look
    with pytest.raises(EnvironmentFault, match="cannot read"):
        provider("team", tmp_path, long).find()
    assert provider("team", tmp_path, long).kubeconfig() == tmp_path / "state" / "kubeconfig"


def test_a_server_that_is_away(tmp_path: Path) -> None:
    away = provider("team", tmp_path, write(tmp_path / "config"))
    (tmp_path / "ca.crt").write_text("")
    with pytest.raises(EnvironmentFault):
        away.ensure(print)
    assert away.status().state == "broken"
    assert provider("nope", tmp_path).status().state == "absent"


def test_delete_and_stop_refuse(tmp_path: Path) -> None:
    found = provider("team", tmp_path, write(tmp_path / "config"))
    for act, word in ((found.delete, "delete"), (found.stop, "stop")):
        with pytest.raises(ConfigError, match=f"devtools does not {word} it"):
            act(print)


def made_by_another(tmp_path: Path, *files: Path, root: str = "", name: str = "team") -> Path:
    """Copy a context in a process of its own, which has ended."""
    code = (
        "import sys; from pathlib import Path; from devtools.clusters.context import ContextProvider;"
        "name, root, state, *files = sys.argv[1:];"
        "found = ContextProvider(name, allowed=(name,), kubeconfigs=tuple(map(Path, files)), state=Path(state),"
        " root=Path(root)).find(); print(found.kubeconfig)"
    )
    argv = [sys.executable, "-c", code, name, root or str(tmp_path), str(tmp_path / "state" / "demo"), *map(str, files)]
    return Path(run(argv).stdout.strip())


def cleaner(tmp_path: Path, *files: Path, allowed: tuple[str, ...] = ("team",), root: Path | None = None) -> None:
    state = tmp_path / "state" / "other"
    ContextProvider(
        "team", allowed=allowed, kubeconfigs=files, state=state, root=root or tmp_path
    ).remove_stale_copies()


def test_a_copy_is_removed_once_its_context_is_gone(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    copy = made_by_another(tmp_path, user)
    cleaner(tmp_path, user)
    assert copy.exists()
    write(user, name="renamed")
    cleaner(tmp_path, user)
    assert not copy.parent.exists()


def test_a_copy_is_removed_once_its_context_is_not_allowed(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    copy = made_by_another(tmp_path, user)
    (tmp_path / "elsewhere").mkdir()
    cleaner(tmp_path, user, allowed=(), root=tmp_path / "elsewhere")
    assert copy.exists(), "another repository allows other contexts"
    with pytest.raises(ConfigError):
        ContextProvider("team", allowed=(), kubeconfigs=(user,), state=tmp_path / "state" / "x", root=tmp_path).find()
    assert not copy.parent.exists()


def test_a_copy_is_removed_with_the_repository_it_was_made_for(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    (tmp_path / "repository").mkdir()
    copy = made_by_another(tmp_path, user, root=str(tmp_path / "repository"))
    (tmp_path / "repository").rmdir()
    cleaner(tmp_path, user)
    assert not copy.exists()


def test_a_copy_of_a_replaced_cluster_is_removed_after_a_day(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    copy = made_by_another(tmp_path, user)
    user.write_text(user.read_text().replace("https://127.0.0.1:1", "https://127.0.0.1:2"))
    cleaner(tmp_path, user)
    assert copy.exists()
    os.utime(copy, (0, 0))
    cleaner(tmp_path, user)
    assert not copy.exists()


def test_a_copy_that_a_process_uses_stays(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    used = ContextProvider("team", allowed=("team",), kubeconfigs=(user,), state=tmp_path / "state" / "demo")
    copy = used.find().kubeconfig
    user.unlink()
    cleaner(tmp_path, user, allowed=())
    assert copy.exists()
    del used
    cleaner(tmp_path, user, allowed=())
    assert not copy.exists()


def test_what_cannot_be_read_stays(tmp_path: Path) -> None:
    user = write(tmp_path / "config")
    copy = made_by_another(tmp_path, user)
    user.write_text("{")
    cleaner(tmp_path, user)
    assert copy.exists()
    (copy.parent / "source.json").unlink()
    cleaner(tmp_path, user)
    assert copy.exists(), "an older version made it"
    os.utime(copy, (0, 0))
    cleaner(tmp_path, user)
    assert not copy.exists()


@pytest.mark.cluster
def test_a_cluster_that_is_there(cluster: Cluster, tmp_path: Path) -> None:
    found = ContextProvider(
        cluster.context, allowed=(cluster.context,), kubeconfigs=(cluster.kubeconfig,), state=tmp_path / "state"
    )
    made = found.ensure(print)
    assert made.kubeconfig == found.kubeconfig()
    assert made.kubeconfig.is_relative_to(tmp_path / "state")
    assert found.status().state == "running"
