"""A machine whose k3d, docker and tilt only write down how they were called, and a Docker engine that only answers.

The programs are real processes: Tilt's double stays in the background, listens, and must be stopped.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from devtools.app.environment import App
from tests.kits import verbs
from tests.kits.k3d import install
from tests.kits.ports import free_port
from tests.kits.stack import repository

DOCKER = """#!/bin/sh
echo "docker $* KUBECONFIG=$KUBECONFIG" >>"$FAKE/calls"
case " $DOCKER_FAILS " in *" $2 "*) echo "ERROR: docker is out of order" >&2; exit 1;; esac
case "$2 $*" in
"version "*) echo "github.com/docker/buildx ${BUILDX_VERSION:-v0.15.0} x"; exit;;
*--no-trunc*) echo "unknown flag: --no-trunc" >&2; exit 1;; # it came with 0.18
esac
case "$2" in
ls) cat "$FAKE/builders" 2>/dev/null || true;;
create)
    where=$(printf %s "$KUBECONFIG" | sed 's|/|%2F|g')
    echo '["devtools-demo","devtools-demo","kubernetes","",""]' >"$FAKE/builders"
    echo "[\\"devtools-demo\\",\\"n0\\",\\"kubernetes:///x?deployment=n0&kubeconfig=$where\\",\\"running\\",\\"\\"]" \\
        >>"$FAKE/builders";;
inspect) sed -i 's/inactive/running/' "$FAKE/builders";;
rm) rm -f "$FAKE/builders";;
esac
"""
# A question is asked by a shell, which starts in a twentieth of Python's time.
TILT = """#!/bin/bash
[ "$1" = get ] || exec {python} -SE {server} "$@"
echo "tilt $* KUBECONFIG=$KUBECONFIG" >>"$FAKE/calls"
kind=$2
while [ "$1" != --port ]; do shift; done
if ! {{ exec 3<>"/dev/tcp/127.0.0.1/$2"; }} 2>/dev/null; then
    echo "No tilt apiserver found" >&2
    exit 1
fi
printf 'GET /%s HTTP/1.0\\r\\n\\r\\n' "$kind" >&3
while IFS= read -r line <&3 && [ "$line" != $'\\r' ]; do :; done
cat <&3
"""
# `up` listens and runs a command in a session of its own, as Tilt does; TILT_DOES says what else is wrong with it.
# $FAKE/tiltfile is why the Tiltfile does not load. Its first answer is that the Tiltfile is being loaded.
TILT_SERVER = """\
import json, os, signal, socket, subprocess, sys, time
words = sys.argv[1:]
with open(os.environ["FAKE"] + "/calls", "a") as calls:
    calls.write("tilt " + " ".join(words) + " KUBECONFIG=" + os.environ.get("KUBECONFIG", "") + "\\n")
does = os.environ.get("TILT_DOES", "")
port = int(words[words.index("--port") + 1])
print("Tilt started on http://localhost:%d/" % port, "token", len(os.environ.get("BUF_TOKEN", "")), flush=True)
child = subprocess.Popen(["sleep", "300"], start_new_session=True)
if does == "dies":
    child.kill()
    sys.exit("Error: Tiltfile:3:1: no such thing")
if does == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if does == "hangs":
    time.sleep(300)
context = words[words.index("--context") + 1]
asked = []
def tiltfile():
    asked.append(1)
    if len(asked) == 1 or does == "loads for ever":
        return {"updateStatus": "in_progress"}
    try:
        with open(os.environ["FAKE"] + "/tiltfile") as file:
            return {"updateStatus": "error", "buildHistory": [{"error": file.read()}]}
    except OSError:
        return {"updateStatus": "ok", "buildHistory": [{}]}
def answer(kind):
    if kind == "session":
        return {"items": [{"kind": "Session", "status": {"pid": os.getpid()}}]}
    if kind == "cluster":
        return {"kind": "Cluster", "status": {"connection": {"kubernetes": {"context": context}}}}
    if kind == "uiresources":
        return {"items": [{"metadata": {"name": "(Tiltfile)"}, "status": tiltfile()}]}
    try:
        with open(os.environ["FAKE"] + "/watches") as file:
            return json.load(file)
    except OSError:
        return {"items": []}
server = socket.create_server(("127.0.0.1", port))
while True:
    connection, _ = server.accept()
    try:
        with connection, connection.makefile("rw") as stream:
            lines = list(iter(lambda: stream.readline().strip(), ""))
            if lines:  # one may only look whether it listens
                body = json.dumps(answer(lines[0].split()[1].lstrip("/")))
                stream.write("HTTP/1.0 200 OK\\r\\n\\r\\n" + body)
    except OSError:
        pass
"""
TASKS = "from devtools.tasks import namespace\n"
LAYER = "stage: base\nreleases:\n  - {name: web, namespace: x, chart: platform/web}\n"  # enough for specs


@contextmanager
def http(answers: dict[str, Any]) -> Iterator[int]:
    """A server that gives these documents, by the end of the path; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = next((value for key, value in answers.items() if self.path.split("?")[0].endswith(key)), None)
            if found is None:
                self.send_error(404)
                return
            body = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/plain" if isinstance(found, str) else "application/json")
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the base class names it

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(verbs.Done):
    @property
    def states(self) -> dict[str, str]:
        return {item["stage"]: item["state"] for item in self.document["stages"]}


@dataclass(kw_only=True)
class Machine:
    """One checkout and the programs on its PATH."""

    root: Path
    programs: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, tmp: Path, *, docker: int, api: int) -> Machine:
        """A machine whose Docker engine and API server listen on these ports."""
        root = repository(tmp / "a repo", {"layers/10-base.yaml": LAYER, "Tiltfile": "# ours\n", "tasks.py": TASKS})
        ports = f"cluster: {{api_port: {free_port()}, registry_port: {free_port()}}}\n"
        (root / "devtools.yaml").write_text(f"name: demo\n{ports}")
        fake = tmp / "fake"
        fake.mkdir()
        (fake / "kubeconfig").write_text(
            "apiVersion: v1\nkind: Config\n"
            f"clusters:\n- name: k3d-demo\n  cluster:\n    server: http://127.0.0.1:{api}\n"
            "users:\n- name: admin\n  user: {token: t0k3n}\n"
            "contexts:\n- name: k3d-demo\n  context: {cluster: k3d-demo, user: admin}\n"
        )
        machine = cls(root=root, programs=tmp / "bin")
        machine.environ = {
            "PATH": f"{machine.programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp),
            "FAKE": str(fake),
            "DOCKER_HOST": f"tcp://127.0.0.1:{docker}",
            "DEVTOOLS_STATE": str(tmp / "state"),
            "TILT_PORT": str(free_port()),
        }
        server = tmp / "server" / "tilt"
        server.parent.mkdir()
        server.write_text(TILT_SERVER)
        for name, text in (("docker", DOCKER), ("tilt", TILT.format(python=sys.executable, server=server))):
            machine.program(name, text)
        install(machine.programs)
        machine.program("helm", "#!/bin/sh\necho v4.3.1\n")
        return machine

    @property
    def fake(self) -> Path:
        return Path(self.environ["FAKE"])

    @property
    def run_directory(self) -> Path:
        return self.root / ".devtools/run"

    def program(self, name: str, text: str) -> None:
        self.programs.mkdir(exist_ok=True)
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def nodes(self, role: str, status: str) -> None:
        """Change the state of k3d's containers of a role."""
        path = self.fake / "k3d.json"
        nodes = json.loads(path.read_text())
        path.write_text(
            json.dumps([{**node, **({"status": status} if node["role"] == role else {})} for node in nodes])
        )

    def without(self, *names: str) -> None:
        for name in names:
            (self.programs / name).unlink()

    def app(self, **environ: str) -> App:
        return App(environ={**self.environ, **environ}, cwd=self.root, out=io.StringIO(), err=io.StringIO())

    def run(self, verb: Any, output: str = "json", **environ: str) -> Done:
        """Run a verb as a task does."""
        done = verbs.call(verb, output, environ={**self.environ, **environ}, cwd=self.root)
        return Done(code=done.code, out=done.out, err=done.err)

    def calls(self) -> list[str]:
        """How programs were called since the last call, without the questions to Tilt: how many depends on time."""
        path = self.fake / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [call for call in found if not call.startswith(("tilt get uiresources", "tilt get filewatches"))]

    def pid(self) -> int:
        return int((self.run_directory / "tilt.pid").read_text())


def is_alive(pid: int) -> bool:
    """Whether the process runs, zombies excluded."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def carrying(variable: str) -> list[int]:
    """Living processes with this `NAME=value` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in path.read_bytes().split(b"\0") and is_alive(int(path.parent.name)):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
