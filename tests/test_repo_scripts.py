"""The scripts, against a checkout whose programs only write down how they were called."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from devtools.process.runner import Cancel, Command, Result, SubprocessRunner

ROOT = Path(__file__).parents[1]
SCRIPTS = (
    "scripts/up",
    "scripts/test",
    "scripts/lock",
    "scripts/run-helm-layer.sh",
    "scripts/buf-build-push.sh",
    ".ci/run",
    ".devcontainer/post-create.sh",
)
RECORDER = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
case " $FAILS " in *" ${0##*/} "*) exit 9;; esac
"""
PYTHON = """#!/bin/sh
case "$*" in *missing_packages*) printf '%s\\n' "$MISSING";; esac
"""
debian = pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="apt-get is Debian's")


class Checkout:
    """A copy of the scripts, set up by hand."""

    def __init__(self, tmp: Path) -> None:
        self.root = tmp / "a checkout"
        self.bin = tmp / "bin"
        self.calls_file = tmp / "calls"
        self.bin.mkdir()
        for name in ("scripts", "requirements", ".ci", ".devcontainer"):
            shutil.copytree(ROOT / name, self.root / name)
        for path in (ROOT / "tools").glob("*/go.mod"):
            target = self.root / "tools" / path.parent.name
            target.mkdir(parents=True)
            shutil.copy(path, target)
        (self.root / "layers").mkdir()
        (self.root / "layers" / "40-data-plane.yaml").touch()
        for name in ("invoke", "ruff", "mypy", "lint-imports", "pytest"):
            self.program(self.root / ".venv" / "bin", name, RECORDER)
        self.program(self.root / ".venv" / "bin", "python", PYTHON)
        self.program(self.bin, "go", "#!/bin/sh\necho go1.26.8\n")
        self.program(self.bin, "id", "#!/bin/sh\necho ${FAKE_UID:-0}\n")
        self.program(self.bin, "apt-get", RECORDER)
        self.program(self.bin, "systemctl", RECORDER)
        self.program(self.bin, "gpg", RECORDER)
        for name in ("docker-registry", "dockerd"):
            self.program(self.bin, name, RECORDER)
        self.policy = tmp / "policy-rc.d"  # the machine's own is not touched
        setup = self.root / "scripts" / "_setup.sh"
        text = setup.read_text()
        assert "policy=/usr/sbin/policy-rc.d" in text
        setup.write_text(text.replace("policy=/usr/sbin/policy-rc.d", f"policy={self.policy}"))
        for name in ("runtime", "dev"):
            text = (self.root / "requirements" / f"{name}.txt").read_text()
            (self.root / ".venv" / f".installed-{name}").write_text(f"{self.root}\n{text}")

    def program(self, directory: Path, name: str, text: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)

    def run(self, *argv: str, cwd: str = "/", **env: str) -> Result:
        variables = {"CALLS": str(self.calls_file), "FAILS": "", "MISSING": "", "DEVTOOLS_TEST_JOBS": "1", **env}
        variables["PATH"] = f"{self.bin}:/usr/bin:/bin"
        command = Command(argv=(str(self.root / argv[0]), *argv[1:]), env=variables, cwd=Path(cwd), timeout=300)
        return SubprocessRunner({}, Cancel()).run(command)

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_there_from_anywhere(checkout: Checkout, script: str) -> None:
    shutil.rmtree(checkout.root / ".venv")  # and before anything is set up
    result = checkout.run(script, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: {script}") or f"usage: {script}" in result.stdout
    assert not checkout.calls()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_script_ends_its_command(checkout: Checkout, number: int) -> None:
    reported = checkout.root / "told"
    slow = (
        f'#!/bin/sh\ntrap \'echo ended >>"{reported}"; exit 130\' TERM\necho begun >>"{reported}"\nsleep 600 & wait\n'
    )
    checkout.program(checkout.root / ".venv" / "bin", "invoke", slow)
    environ = {"PATH": f"{checkout.bin}:/usr/bin:/bin", "CALLS": str(checkout.calls_file), "MISSING": "", "FAILS": ""}
    with subprocess.Popen([checkout.root / "scripts/up"], env=environ, cwd="/", start_new_session=True) as script:
        while not reported.exists():
            assert script.poll() is None
            time.sleep(0.02)
        script.send_signal(number)
        assert script.wait(120) == 130
        with contextlib.suppress(ProcessLookupError):  # ended before its `sleep` began
            os.killpg(script.pid, signal.SIGKILL)
    assert reported.read_text() == "begun\nended\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("lines", ["a==1\n", "pip==2\na==1\n"], ids=["packages", "pinned pip"])
def test_a_signal_while_packages_are_installed_is_an_interrupt(checkout: Checkout, number: int, lines: str) -> None:
    """The child does not catch the signal, as pip does not: `wait` then returns 143."""
    begun = checkout.root / "begun"
    slow = f'#!/bin/sh\ncase "$*" in *-m\\ pip*) ;; *) exit 0 ;; esac\ntouch "{begun}"\nexec sleep 600\n'
    checkout.program(checkout.root / ".venv" / "bin", "python", slow)
    (checkout.root / ".venv" / ".installed-runtime").unlink()
    (checkout.root / ".venv" / ".root").write_text(str(checkout.root))
    (checkout.root / "requirements" / "runtime.txt").write_text(lines)
    environ = {"PATH": f"{checkout.bin}:/usr/bin:/bin", "CALLS": str(checkout.calls_file), "MISSING": "", "FAILS": ""}
    argv = [checkout.root / "scripts/up"]
    with subprocess.Popen(argv, env=environ, cwd="/", stderr=subprocess.PIPE, text=True) as script:
        while not begun.exists():
            assert script.poll() is None
            time.sleep(0.02)
        script.send_signal(number)
        _, shown = script.communicate(timeout=120)
        assert script.returncode == 130, shown
    assert shown.splitlines()[1:] == ["interrupted: type the same command again to go on from here"]
    assert not (checkout.root / ".devtools" / "setup.lock").exists()


FILES = sorted(path for path in (ROOT / "scripts").rglob("*") if path.is_file() and path.suffix != ".pyc")
FILES.append(ROOT / ".devcontainer/post-create.sh")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_syntax(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    if "python" in first or path.is_dir() or path.suffix == ".py":
        return
    shell = "bash" if "bash" in first else "sh"
    result = SubprocessRunner(os.environ, Cancel()).run(Command(argv=(shell, "-n", str(path))))
    assert result.ok, result.stderr
    assert os.access(path, os.X_OK) is first.startswith("#!")


def test_up_gets_the_toolchain_then_brings_up(checkout: Checkout) -> None:
    result = checkout.run("scripts/up", "--env", "dev", "--no-install", "--only", "a b")
    assert result.ok, result.stderr
    assert result.stderr == ""
    assert checkout.calls() == ["invoke toolchain", "invoke up --env dev --only a b"]


def test_up_stops_where_the_toolchain_fails(checkout: Checkout) -> None:
    assert checkout.run("scripts/up", FAILS="invoke").returncode == 9
    assert checkout.calls() == ["invoke toolchain"]


def test_up_skips_packages_on_request(checkout: Checkout) -> None:
    result = checkout.run("scripts/up", "--no-install", MISSING="containerd runc")
    assert result.ok
    assert "left out, as asked: containerd runc" in result.stderr
    assert checkout.calls()[-1] == "invoke up"


def test_up_says_what_to_type_where_it_may_not_install(checkout: Checkout) -> None:
    result = checkout.run("scripts/up", MISSING="containerd runc", FAKE_UID="1000")
    assert result.ok
    assert "type: apt-get install --no-install-recommends containerd runc" in result.stderr
    assert checkout.calls() == ["invoke toolchain", "invoke up"]


@debian
def test_up_says_what_it_installs(checkout: Checkout) -> None:
    result = checkout.run("scripts/up", MISSING="containerd runc")
    assert result.ok
    assert "installing with apt-get" in result.stderr
    _, apt, _, up = checkout.calls()
    assert apt.startswith("apt-get install -y -qq --no-install-recommends ")
    assert apt.endswith(" containerd runc")
    assert up == "invoke up"


@debian
def test_stale_package_lists_are_renewed_only_when_needed(checkout: Checkout) -> None:
    once = '[ "$1" = update ] && touch "$CALLS.updated"; [ -e "$CALLS.updated" ] || exit 100\n'
    checkout.program(checkout.bin, "apt-get", RECORDER + once)
    assert checkout.run("scripts/up", MISSING="runc").ok
    assert [call.split()[1] for call in checkout.calls()] == ["toolchain", "install", "update", "install", "up"]


@debian
def test_up_goes_on_simulated_where_apt_fails(checkout: Checkout) -> None:
    result = checkout.run("scripts/up", MISSING="runc", FAILS="apt-get")
    assert result.ok
    assert "there will be no real node" in result.stderr
    assert checkout.calls()[-1] == "invoke up"


STEPS = ["invoke toolchain", "ruff check .", "ruff format --check .", "mypy ", "lint-imports ", "pytest -k some"]


def test_test_runs_everything_in_order(checkout: Checkout) -> None:
    assert checkout.run("scripts/test", "-k", "some").ok
    assert checkout.calls() == STEPS


@pytest.mark.parametrize(("fails", "last"), [("ruff", 1), ("mypy", 3), ("lint-imports", 4), ("pytest", 5)])
def test_test_stops_at_the_first_failure_and_names_it(checkout: Checkout, fails: str, last: int) -> None:
    result = checkout.run("scripts/test", "-k", "some", FAILS=fails)
    assert result.returncode == 9
    assert checkout.calls() == STEPS[: last + 1]
    assert result.stderr.splitlines()[-1] == f"failed: {STEPS[last]}".rstrip()


def test_scripts_test_runs_on_several_cores_on_request(checkout: Checkout) -> None:
    assert checkout.run("scripts/test", "tests", DEVTOOLS_TEST_JOBS="2").ok
    *before, last = checkout.calls()
    assert last == "pytest -n 2 --dist loadfile --no-loadscope-reorder tests"
    assert "pytest --collect-only -q tests" in before  # compiles what the processes share
    assert [call for call in before if not call.startswith("pytest")] == STEPS[:-1]


def test_test_installs_nothing_unasked(checkout: Checkout) -> None:
    result = checkout.run("scripts/test", "-k", "some", MISSING="containerd runc")
    assert result.ok
    assert "because these packages are missing: containerd runc" in result.stderr
    assert "scripts/test --install" in result.stderr
    assert checkout.calls() == STEPS


@debian
def test_test_installs_when_asked_and_leaves_services_off(checkout: Checkout) -> None:
    asked = f'if [ -x "{checkout.policy}" ]; then "{checkout.policy}"; echo "may start: $?" >> "$CALLS"; fi\n'
    checkout.program(checkout.bin, "apt-get", RECORDER + asked)
    result = checkout.run("scripts/test", "--install", "-k", "some", MISSING="containerd docker.io")
    assert result.ok, result.stderr
    _, apt, policy, *disabled = checkout.calls()[: -len(STEPS) + 1]
    assert apt.endswith(" containerd docker.io")
    assert policy == "may start: 101"
    assert disabled == ["systemctl disable containerd.service", "systemctl disable docker.service docker.socket"]
    assert not checkout.policy.exists()


@debian
def test_a_policy_of_the_machine_is_preserved(checkout: Checkout) -> None:
    checkout.policy.write_text("#!/bin/sh\nexit 0\n")
    assert checkout.run("scripts/test", "--install", "-k", "some", MISSING="runc").ok
    assert checkout.policy.read_text() == "#!/bin/sh\nexit 0\n"


@debian
def test_test_does_not_pass_without_what_it_was_asked_to_install(checkout: Checkout) -> None:
    result = checkout.run("scripts/test", "--install", MISSING="runc", FAILS="apt-get")
    assert result.returncode == 4
    assert "the packages that tests need cannot be installed: runc" in result.stderr
    assert not [call for call in checkout.calls() if call.startswith("pytest")]
    assert not checkout.policy.exists()


def test_test_says_where_it_cannot_install(checkout: Checkout) -> None:
    result = checkout.run("scripts/test", "--install", MISSING="runc", FAKE_UID="1000")
    assert result.returncode == 4
    assert "run it as root" in result.stderr


def test_ci_is_the_same_without_a_terminal(checkout: Checkout) -> None:
    checkout.program(checkout.root / ".venv/bin", "pytest", RECORDER + 'echo "CI=$CI"; [ ! -t 0 ] && cat\n')
    result = checkout.run(".ci/run", "-k", "some")
    assert result.ok
    assert result.stdout == "CI=true\n"
    assert checkout.calls() == STEPS
    if Path("/etc/debian_version").exists():
        assert checkout.run(".ci/run", MISSING="runc").ok
        assert [call for call in checkout.calls() if call.startswith("apt-get install ")]


@pytest.mark.parametrize("cwd", ["/", "."])
def test_a_layers_file_is_its_name(checkout: Checkout, cwd: str) -> None:
    where = str(checkout.root) if cwd == "." else cwd
    result = checkout.run("scripts/run-helm-layer.sh", "layers/40-data-plane.yaml", "--only-test", cwd=where)
    assert result.ok, result.stderr
    assert checkout.calls() == ["invoke layer 40-data-plane --only-test"]


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("layers/41.yaml",), 2), (("--only-test",), 2)])
def test_no_such_layer_file(checkout: Checkout, arguments: tuple[str, ...], code: int) -> None:
    result = checkout.run("scripts/run-helm-layer.sh", *arguments)
    assert result.returncode == code
    assert "layer" in result.stderr
    assert not checkout.calls()


def test_a_layer_before_setting_up(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / ".venv")
    result = checkout.run("scripts/run-helm-layer.sh", "layers/40-data-plane.yaml")
    assert (result.returncode, "type scripts/up" in result.stderr) == (4, True)


def test_activate(checkout: Checkout) -> None:
    (checkout.root / ".venv/bin/activate").write_text('PATH="here:$PATH"\n')
    argv = ("bash", "-euc", 'source "$1/scripts/activate"; echo "$PATH"', "-", str(checkout.root))
    result = SubprocessRunner({"PATH": "/usr/bin:/bin"}, Cancel()).run(Command(argv=argv, cwd=Path("/")))
    assert result.stdout == "here:/usr/bin:/bin\n", result.stderr
    (checkout.root / ".venv/bin/activate").unlink()
    result = SubprocessRunner({"PATH": "/usr/bin:/bin"}, Cancel()).run(Command(argv=argv, cwd=Path("/")))
    assert result.returncode == 4
    assert "scripts/up" in result.stderr


@pytest.mark.parametrize("answer", ["2.7", "3.10", "3.9"])
def test_python_is_too_old(checkout: Checkout, answer: str) -> None:
    shutil.rmtree(checkout.root / ".venv")
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        checkout.program(checkout.bin, name, f"#!/bin/sh\necho {answer}\n")
    result = checkout.run("scripts/up")
    assert result.returncode == 4
    assert "Python 3.11 or newer is needed" in result.stderr
    assert f"python3 is {answer};" in result.stderr


def test_python_without_venv_names_the_package(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / ".venv")
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        text = '#!/bin/sh\ncase "$2" in *print*) echo 3.12;; *) exit 1;; esac\n'
        checkout.program(checkout.bin, name, text)
    result = checkout.run("scripts/up")
    assert result.returncode == 4
    assert "apt-get install python3.12-venv" in result.stderr
    assert not (checkout.root / ".devtools" / "setup.lock").exists()


def test_a_dead_setups_lock_is_not_waited_for(checkout: Checkout) -> None:
    (checkout.root / ".venv" / ".installed-runtime").unlink()
    (checkout.root / ".venv" / ".root").write_text(str(checkout.root))
    lock = checkout.root / ".devtools" / "setup.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(str(2**22 + 1))
    result = checkout.run("scripts/up")
    assert result.ok, result.stderr
    assert result.stderr.startswith("installing Python packages: requirements/runtime.txt (")
    assert not lock.exists()
    assert checkout.run("scripts/up").stderr == ""


PIP = """#!/bin/sh
case $* in *-m\\ pip*) for last; do :; done; cat "$last" >>"$CALLS" ;; esac
"""


def test_a_pinned_pip_installs_the_rest(checkout: Checkout) -> None:
    """The one that Python brings takes three times as long to look packages up."""
    (checkout.root / ".venv" / ".installed-dev").unlink()
    (checkout.root / ".venv" / ".root").write_text(str(checkout.root))
    checkout.program(checkout.root / ".venv" / "bin", "python", PIP)
    (checkout.root / "requirements" / "dev.txt").write_text(
        "a==1 \\\n    --hash=a\n# pip==1\npip==2 \\\n    --hash=b\n"
    )
    assert checkout.run("scripts/test").ok
    first = ["pip==2 \\", "    --hash=b"]
    assert checkout.calls()[:7] == [*first, "a==1 \\", "    --hash=a", "# pip==1", *first]


def test_a_push_is_the_task(checkout: Checkout) -> None:
    result = checkout.run("scripts/buf-build-push.sh", "--force", "--output", "json", BUF_TOKEN="t")
    assert result.ok, result.stderr
    assert checkout.run("scripts/buf-build-push.sh", "--no-push").ok  # needs no token
    (checkout.root / ".env").write_text("who knows\n")  # the library reads it, and says what is wrong with it
    assert checkout.run("scripts/buf-build-push.sh").ok
    calls = ["invoke proto.push --force --output json", "invoke proto.push --no-push", "invoke proto.push"]
    assert checkout.calls() == calls


def test_without_a_token_nothing_is_started(checkout: Checkout) -> None:
    result = checkout.run("scripts/buf-build-push.sh")
    assert result.returncode == 2
    assert not checkout.calls()


def test_without_a_token_nothing_is_set_up_for_a_push(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / ".venv")
    for text in ("", "BUF_TOKEN=\n"):
        (checkout.root / ".env").write_text(text)
        result = checkout.run("scripts/buf-build-push.sh")
        assert result.returncode == 2
        assert "BUF_TOKEN is not set" in result.stderr
        assert f"{checkout.root}/.env" in result.stderr
    assert not (checkout.root / ".venv").exists()


def test_both_places_say_the_same_of_a_missing_token() -> None:
    script, library = (
        (ROOT / name).read_text("utf-8") for name in ("scripts/buf-build-push.sh", "devtools/buf/token.py")
    )
    for words in (
        "clusters read the published API, so it must be pushed before Helm installs anything",
        "make one at https://buf.build/settings/user",
        "to build without publishing: invoke proto.push --no-push",
        "under Tilt: invoke bootstrap.down --keep-cluster && invoke bootstrap --no-push",
    ):
        assert words in script
        assert words in library
