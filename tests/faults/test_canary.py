"""A secret that is marked is nowhere to be found after a run: not on disk, not in argv, not in what is printed."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from devtools.clusters.provider import Cluster
from devtools.kube.client import Kube
from devtools.process.runner import Cancel
from tests.kits.repository import Repo
from tests.kits.waiting import eventually

pytestmark = pytest.mark.cluster
MARK = f"canary-{os.urandom(4).hex()}"  # of this process: argv is looked at of everybody's
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-auth}
stringData:
  password: {{ .Values.auth.password | quote }}
"""
FAILING = '{{ fail (printf "cannot use password %s of %v" .Values.auth.password .Values.auth) }}'


class Argv:
    """Samples the argv of every process that begins before the body ends."""

    def __init__(self) -> None:
        self.observed: set[bytes] = set()
        self._old = _processes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            now = _processes()
            self._old &= now  # a number may be given again
            for pid in now - self._old:
                with contextlib.suppress(OSError):
                    self.observed.add(Path("/proc", pid, "cmdline").read_bytes())
            time.sleep(0.01)


def _processes() -> set[str]:
    return {name for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208 - a hundred times in a second


def _forms() -> tuple[bytes, ...]:
    """The mark as it is, and as it may be in base64, whatever stands before it."""
    found = {MARK.encode()}
    for lead in range(3):
        coded = base64.b64encode(b"x" * lead + MARK.encode())
        found.add(coded[4 if lead else 0 : -4])
    return tuple(found)


def _holders(directory: Path) -> list[Path]:
    """The files that hold the mark in one of its forms."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if any(form in path.read_bytes() for form in _forms())]


def _is_clean(text: str | bytes) -> bool:
    raw = text if isinstance(text, bytes) else text.encode()
    return not any(form in raw for form in _forms())


@pytest.fixture
def marked(repo: Repo) -> Repo:
    """Secrets in `.env`, in the environment, in values and in a Kubernetes Secret."""
    repo.write(".env", f"BUF_TOKEN={MARK}\nVAULT_TOKEN={MARK}\n")
    repo.chart("conf", (repo.path / "charts/platform/conf/templates/0.yaml").read_text(), SECRET)
    repo.write("environments/local/10-base/conf.yaml", f"auth: {{password: {MARK}}}\n")
    hook = "    before:\n      - {run: [sh, -c, 'test -z \"$BUF_TOKEN$VAULT_TOKEN\"']}\n    values:"
    repo.edit("layers/10-base.yaml", "    values:", hook)
    repo.env = {"BUF_TOKEN": MARK, "VAULT_TOKEN": MARK}
    return repo


def _break_template(repo: Repo) -> None:
    repo.chart("conf", FAILING)


def _break_contract(repo: Repo) -> None:
    repo.edit("layers/10-base.yaml", "say: hello", "say: other")
    repo.edit("layers/10-base.yaml", "equals: hello}", "equals: hello, timeout: 1s}")


def _break_object(repo: Repo) -> None:
    repo.chart("conf", SECRET.replace("metadata:", "type: [1]\nmetadata:"))


READERS = (
    ("drift",),
    ("plan", "--output", "json"),
    ("values", "conf", "--explain"),
    ("values", "conf", "--output", "json"),
)
FAULTS: dict[str, tuple[Callable[[Repo], None] | None, ...]] = {
    "text": (None, _break_template),
    "json": (None, _break_contract),
    "jsonl": (None, _break_object),
}


@pytest.mark.parametrize("output", FAULTS)
def test_a_secret_is_nowhere_after_runs_and_failures(marked: Repo, cluster: Cluster, output: str) -> None:
    printed: list[str] = []
    state = marked.apart()
    with Argv() as argv:
        for fail in FAULTS[output]:
            if fail:
                fail(marked)
            words = ("layer", "10", "--no-test") if fail or output != "text" else ("up",)
            typed = marked.invoke(*words, "--verbose", "--output", output)
            assert typed.code == (1 if fail else 0), typed.text
            printed.append(typed.text)
        printed += [marked.invoke(*words).text for words in READERS]
    kube = Kube(cluster.kubeconfig, cluster.context, Cancel())
    secret = kube.get(f"/api/v1/namespaces/{marked.namespace}/secrets/conf-auth")
    assert secret, "the mark did go where it belongs"
    assert base64.b64decode(secret["data"]["password"]).decode() == MARK
    assert [text for text in printed if not _is_clean(text)] == []
    assert [words for words in argv.observed if not _is_clean(words)] == []
    assert any(b"upgrade" in words and b"conf" in words for words in argv.observed), "helm was seen at work"
    assert _holders(marked.path / ".devtools") == []
    assert [path for path in state.iterdir() if path.name != "clusters" and _holders(path)] == []


def test_the_mark_is_found_where_it_is(tmp_path: Path) -> None:
    coded = [base64.b64encode(f"{lead}{MARK}, ".encode()).decode() for lead in ("", "a", "ab")]
    for number, text in enumerate((MARK, *coded)):
        (tmp_path / str(number)).write_text(text)
    assert len(_holders(tmp_path)) == 4
    with Argv() as argv, subprocess.Popen(["sh", "-c", "sleep 600; true", MARK], start_new_session=True) as child:
        eventually(lambda: [words for words in list(argv.observed) if not _is_clean(words)])
        os.killpg(child.pid, signal.SIGKILL)
