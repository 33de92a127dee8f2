"""Sources that ask for credentials or have a certificate of their own: real servers, and nothing leaks."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.app.exit_codes import run
from devtools.base.open_file import sha256_of
from devtools.charts.sources.credentials import Keys, Login
from devtools.commands import charts as verbs
from devtools.errors import ConfigError, ExitCode
from devtools.process.runner import Command, SubprocessRunner
from tests.charts.test_vendor import WEB, Repo, packer, repo
from tests.kits.chart_servers import Packer, certify, http_repository, oci_registry
from tests.kits.charts import archive
from tests.kits.stack import write

__all__ = ["packer", "repo"]
SECRET = "s3cr3t"
ENTRY = "name: web, version: 1.0.0, sha256: null"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The arguments and environments of all programs; the files of helm that hold a secret are this user's alone."""
    found: list[str] = []
    really = SubprocessRunner.run

    def spy(runner: SubprocessRunner, command: Command, *more: Any) -> Any:
        found.append(" ".join((*command.argv, *(command.env or {}).values())))
        home = (command.env or {}).get("HELM_CACHE_HOME", "")
        for path in Path(home).rglob("*") if home else ():
            if path.is_file() and SECRET.encode() in path.read_bytes():
                assert (path.stat().st_mode & 0o077, Path(home).stat().st_mode & 0o077) == (0, 0), path
        return really(runner, command, *more)

    monkeypatch.setattr(SubprocessRunner, "run", spy)
    yield found
    assert found, "a program ran"
    assert not [words for words in found if SECRET in words or "ci" in words.split()]


def vendor(repo: Repo, environ: dict[str, str]) -> ExitCode:
    """Vendor with more variables; the secret is in nothing that is printed or left."""
    app = repo.app()
    app.environ = {**app.environ, **environ}
    code = run(app, lambda app: verbs.vendor(app, (), "", "", "text"))
    assert SECRET not in repo.out.getvalue() + repo.err.getvalue()
    below = [path for path in repo.root.rglob("*") if path.is_file() and path.name != "tls.key"]
    assert not [path for path in below if SECRET.encode() in path.read_bytes()]
    assert not list((repo.root / "charts/third_party").glob(".vendor-*"))
    return code


@pytest.fixture
def served(packer: Packer, tmp_path: Path) -> Path:
    packer.pack(packer.chart("web"), tmp_path / "served")
    packer.index(tmp_path / "served")
    return tmp_path / "served"


def ways(port: str, home: Path) -> dict[str, Callable[[], dict[str, str]]]:
    """Every way to hand over the credentials of 127.0.0.1."""

    def variables(suffix: str) -> dict[str, str]:
        return {f"DEVTOOLS_CHART_USER_{suffix}": "ci", f"DEVTOOLS_CHART_PASSWORD_{suffix}": SECRET}

    def netrc(name: str, host: str) -> dict[str, str]:
        (home / name).write_text(f"machine example.com login x password y\nmachine {host} login ci password {SECRET}\n")
        (home / name).chmod(0o600)
        return {} if name == ".netrc" else {"NETRC": str(home / name)}

    return {
        "publisher": lambda: variables("ACME"),
        "host": lambda: variables("127_0_0_1"),
        "host and port": lambda: variables(f"127_0_0_1_{port}"),
        "netrc": lambda: netrc("own-netrc", "127.0.0.1"),
        "netrc with a port": lambda: netrc(".netrc", f"127.0.0.1:{port}"),
    }


def test_a_repository_with_a_password_and_its_own_certificate(
    repo: Repo, served: Path, tmp_path: Path, ran: list[str]
) -> None:
    certificate = certify(repo.root / "certs")
    with http_repository(served, SECRET, certificate) as url:
        port = url.rpartition(":")[2]
        repo.pin(f"{ENTRY}, repository: '{url}'")
        assert vendor(repo, {}) is ExitCode.CONFIG
        assert "certificate signed by unknown authority" in " ".join(repo.err.getvalue().split())
        settings = f"cluster: {{provider: kwok}}\nchart_ca: {{'127.0.0.1:{port}': certs/tls.pem}}\n"
        write(repo.root, {"devtools.yaml": settings})
        assert vendor(repo, {}) is ExitCode.CONFIG
        assert (
            f"'acme/web' cannot be pulled from {url}: failed to fetch {url}/index.yaml : 401 Unauthorized"
            in " ".join(repo.err.getvalue().split())
        )
        for way, environ in ways(port, tmp_path / "home").items():
            repo.pin(f"{ENTRY}, repository: '{url}'")
            write(repo.root, {"devtools.yaml": settings})
            assert vendor(repo, environ()) is ExitCode.OK, (way, repo.err.getvalue())
            assert sha256_of(repo.root / WEB) == sha256_of(served / "web-1.0.0.tgz")
            (repo.root / WEB).unlink()
        app = repo.app()
        assert run(app, lambda app: verbs.outdated(app, "", "json")) is ExitCode.OK, repo.err.getvalue()
        assert json.loads(repo.out.getvalue())["charts"][0]["state"] == "current", ".netrc of the home directory"


def test_a_registry_with_a_password_and_its_own_certificate(
    repo: Repo, packer: Packer, tmp_path: Path, ran: list[str]
) -> None:
    certificate = certify(repo.root / "certs")
    packed = packer.pack(packer.chart("web"), tmp_path / "packed")
    with oci_registry(tmp_path / "home", certificate) as reference:
        host = reference.removeprefix("oci://")
        login = ("registry", "login", host, "--username", "ci", "--password-stdin", "--ca-file", certificate)
        packer.run(packer.helm, *login, stdin=SECRET)
        packer.run(packer.helm, "push", packed, f"{reference}/charts", "--ca-file", certificate)
        packer.run(packer.helm, "registry", "logout", host)
        ran.clear()
        repo.pin(f"{ENTRY}, oci: '{reference}/charts/web'")
        write(repo.root, {"devtools.yaml": f"cluster: {{provider: kwok}}\nchart_ca: {{'{host}': certs/tls.pem}}\n"})
        assert vendor(repo, {}) is ExitCode.CONFIG
        assert "basic credential not found" in " ".join(repo.err.getvalue().split())
        environ = {"DEVTOOLS_CHART_USER_ACME": "ci", "DEVTOOLS_CHART_PASSWORD_ACME": SECRET}
        assert vendor(repo, environ) is ExitCode.OK, repo.err.getvalue()
        assert sha256_of(repo.root / WEB) == sha256_of(packed)
        wanted = [{"name": "web", "version": "1.0.0", "repository": f"{reference}/charts"}]
        chart = packer.chart("api", dependencies=wanted)
        bare = {f"api/{path.relative_to(chart)}": path.read_bytes() for path in chart.rglob("*") if path.is_file()}
        archive(tmp_path / "bare", bare, name="api")
        packer.index(tmp_path / "bare")
        with http_repository(tmp_path / "bare") as url:
            repo.pin(f"name: api, version: 1.0.0, sha256: null, repository: '{url}'")
            write(repo.root, {"devtools.yaml": f"cluster: {{provider: kwok}}\nchart_ca: {{'{host}': certs/tls.pem}}\n"})
            suffix = re.sub(r"\W", "_", host)
            environ = {f"DEVTOOLS_CHART_USER_{suffix}": "ci", f"DEVTOOLS_CHART_PASSWORD_{suffix}": SECRET}
            ran.clear()
            assert vendor(repo, environ) is ExitCode.OK, repo.err.getvalue()
        with tarfile.open(repo.root / "charts/third_party/acme/api/api-1.0.0.tgz") as file:
            assert "api/charts/web/Chart.yaml" in file.getnames()


def test_credentials_follow_no_redirect_to_another_host(
    repo: Repo, served: Path, tmp_path: Path, ran: list[str]
) -> None:
    theirs: list[str] = []
    ours: list[str] = []
    environ = {"DEVTOOLS_CHART_USER_ACME": "ci", "DEVTOOLS_CHART_PASSWORD_ACME": SECRET}
    with http_repository(served, received=theirs) as other:
        elsewhere = other.replace("127.0.0.1", "localhost")
        with http_repository(served, SECRET, elsewhere=elsewhere, received=ours) as url:
            repo.pin(f"{ENTRY}, repository: '{url}'")
            assert vendor(repo, environ) is ExitCode.OK, repo.err.getvalue()
    assert all(ours)
    assert theirs
    assert not any(theirs), "the archive came from there without credentials"


def test_credentials_follow_no_link_of_the_index_to_another_host(
    repo: Repo, served: Path, packer: Packer, tmp_path: Path, ran: list[str]
) -> None:
    theirs: list[str] = []
    environ = {"DEVTOOLS_CHART_USER_ACME": "ci", "DEVTOOLS_CHART_PASSWORD_ACME": SECRET}
    with http_repository(served, received=theirs) as other:
        packer.run(packer.helm, "repo", "index", served, "--url", other)
        with http_repository(served, SECRET) as url:
            repo.pin(f"{ENTRY}, repository: '{url}'")
            ran.clear()
            assert vendor(repo, environ) is ExitCode.OK, repo.err.getvalue()
    assert theirs
    assert not any(theirs)


def test_credentials_of_a_publisher_are_not_for_its_mirror(repo: Repo, served: Path, ran: list[str]) -> None:
    received: list[str] = []
    environ = {"DEVTOOLS_CHART_USER_ACME": "ci", "DEVTOOLS_CHART_PASSWORD_ACME": SECRET}
    with http_repository(served, received=received) as url:
        repo.pin(f"{ENTRY}, repository: 'https://nowhere.invalid'")
        assert vendor(repo, {**environ, "DEVTOOLS_CHART_MIRROR": url}) is ExitCode.OK, repo.err.getvalue()
    assert received
    assert not any(received)


def test_an_archive_that_is_not_the_one_of_the_index(repo: Repo, served: Path, packer: Packer) -> None:
    packer.pack(packer.chart("web", description="another"), served)
    with http_repository(served) as url:
        repo.pin(f"{ENTRY}, repository: '{url}'")
        assert vendor(repo, {}) is ExitCode.CONFIG
        assert "but the index of its repository has" in " ".join(repo.err.getvalue().split())
        index = (served / "index.yaml").read_text().splitlines()
        write(served, {"index.yaml": "\n".join(line for line in index if "digest:" not in line)})
        assert vendor(repo, {}) is ExitCode.OK, "some repositories have no digests"


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("repository: 'https://ci:s3cr3t@example.com'", "must not contain credentials"),
        ("oci: 'oci://s3cr3t@example.com/web'", "must not contain credentials"),
        ("repository: 'https://[::1'", "'repository' is not a URL: Invalid IPv6 URL"),
    ],
)
def test_the_lock_holds_no_credentials(repo: Repo, entry: str, wrong: str) -> None:
    repo.pin(f"{ENTRY}, {entry}")
    code = run(repo.app(), lambda app: verbs.show(app, "text"))
    assert code is ExitCode.CONFIG
    assert wrong in repo.err.getvalue()
    assert SECRET not in repo.err.getvalue()


@pytest.mark.parametrize("url", ["https://[::1", "oci://[::1/x", "https://ci:s3cr3t@[::1"])
def test_a_source_that_is_not_a_url_is_refused(repo: Repo, url: str) -> None:
    repo.pin(f"{ENTRY}, repository: 'https://nowhere.invalid'")
    assert vendor(repo, {"DEVTOOLS_CHART_MIRROR": url}) is ExitCode.CONFIG
    assert "is not a URL: Invalid IPv6 URL" in " ".join(repo.err.getvalue().split())


def test_a_file_of_authorities_must_be_there(repo: Repo) -> None:
    repo.pin(f"{ENTRY}, repository: 'https://nowhere.invalid'")
    write(repo.root, {"devtools.yaml": "chart_ca:\n  a.example.com: certs/a.pem\n  b.example.com: ../b.pem\n"})
    assert run(repo.app(), lambda app: verbs.show(app, "text")) is ExitCode.CONFIG
    messages = " ".join(repo.err.getvalue().split())
    assert "devtools.yaml:2:3: certs/a.pem is not a file" in messages
    assert "devtools.yaml:3:3: '../b.pem' must be a path inside the repository" in messages


NETRC = {
    "another host": ("machine other.example.com login ci password s3cr3t\n", None),
    "any host": ("default login ci password s3cr3t\n", None),
    "the host": ("machine charts.example.com login ci password s3cr3t\n", Login(username="ci", password=SECRET)),
    "not closed": ("machine charts.example.com s3cr3t\n", "netrc:2 cannot be read as a netrc file"),
}


@pytest.mark.parametrize("case", NETRC)
def test_what_of_a_netrc_file_counts(case: str, tmp_path: Path) -> None:
    text, expected = NETRC[case]
    file = tmp_path / "netrc"
    file.write_text(text)
    file.chmod(0o600)
    keys = Keys(environ={"NETRC": str(file)})
    if isinstance(expected, str):
        with pytest.raises(ConfigError) as caught:
            keys.access("https://charts.example.com")
        assert expected in caught.value.message
        assert SECRET not in str(caught.value) + repr(caught.value.__cause__)
        return
    assert keys.access("https://charts.example.com/stable").login == expected
    assert keys.access("http://charts.example.com/stable").login is None, "not without encryption"
    if expected:
        file.chmod(0o640)
        with pytest.raises(ConfigError, match="others may read it"):
            keys.access("https://charts.example.com")


def test_half_of_the_credentials_or_no_encryption() -> None:
    with pytest.raises(ConfigError, match="DEVTOOLS_CHART_PASSWORD_ACME_CORP is not set"):
        Keys(environ={"DEVTOOLS_CHART_USER_ACME_CORP": "ci"}).access("https://x.example.com", "acme-corp")
    both = {"DEVTOOLS_CHART_USER_X_EXAMPLE_COM": "ci", "DEVTOOLS_CHART_PASSWORD_X_EXAMPLE_COM": SECRET}
    with pytest.raises(ConfigError, match=r"would be sent to .* without encryption"):
        Keys(environ=both).access("http://x.example.com")
    heard: list[str] = []
    login = Keys(environ=both, learn=heard.append).access("oci://x.example.com/web").login
    assert login == Login(username="ci", password=SECRET)
    assert heard == [SECRET]
    assert SECRET not in repr(login)


def test_children_inherit_no_credentials(repo: Repo) -> None:
    app = repo.app()
    write(repo.root, {"devtools.yaml": "cluster: {provider: kwok}\n"})
    app.environ = {**app.environ, "DEVTOOLS_CHART_PASSWORD_STORE": SECRET, "DEVTOOLS_CHART_MIRROR": "https://a:b@c"}
    for runner in (app.runner, app.tilt_runner):
        assert "DEVTOOLS_CHART_" not in runner.run(Command(argv=("/usr/bin/env",))).stdout
    assert app.redactor.text(f"it is {SECRET}") == "it is ***"
