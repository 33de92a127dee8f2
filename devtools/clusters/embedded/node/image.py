"""Makes container images from files of this machine: no registry, no builder, the same bytes each time.

Format: docker-archive (`docker save`), https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format,
which containerd imports.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools.base.open_file import opened, sha256_of
from devtools.clusters.embedded.names import architecture

USER = 65532  # charts with runAsNonRoot require a numeric user
_DIRECTORIES = {"bin": 0o755, "dev": 0o755, "etc": 0o755, "proc": 0o555, "sys": 0o555, "tmp": 0o1777, "usr": 0o755}
_ETC = {
    "etc/passwd": f"root:x:0:0:root:/tmp:/bin/sh\nops:x:{USER}:{USER}:ops:/tmp:/bin/sh\n",
    "etc/group": f"root:x:0:\nops:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
_APPLETS = (
    "[ ash awk base64 basename cat chmod chown cmp cp cut date dd df diff dirname du echo egrep env expr "
    "false find fold getopt grep gunzip gzip head hexdump hostname httpd id ip kill ln ls md5sum mkdir "
    "mkfifo mktemp mv nc netstat nslookup od paste pgrep ping printenv printf ps pwd readlink realpath rm "
    "rmdir sed seq sh sha256sum sha512sum sleep sort split stat strings sync tac tail tar tee test time "
    "timeout touch tr true tty uname uniq unzip uptime vi wc wget which whoami xargs xxd yes zcat"
)
_INTERPRETER = 3  # PT_INTERP of elf(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image to make: its name, files by path inside it, symbolic links, and what it runs."""

    name: str
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()


def utility_image(name: str, busybox: Path, kubectl: Path) -> Image:
    """Return the image of smoke Jobs: a shell with the usual tools, and kubectl."""
    links = {f"bin/{applet}": "busybox" for applet in _APPLETS.split()}
    return Image(name=name, files={"bin/busybox": busybox, "bin/kubectl": kubectl}, links=links, command=("sh",))


def sandbox_image(name: str, busybox: Path) -> Image:
    """Return the image of the process that keeps a pod's namespaces open."""
    command = ("/bin/sleep", "2147483647")
    return Image(name=name, files={"bin/busybox": busybox}, links={"bin/sleep": "busybox"}, command=command)


def write(image: Image, archive: Path) -> None:
    """Write the image as a docker-archive, directly to disk, because kubectl alone is 60 MB."""
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        _fill(tar, image)
    sha = sha256_of(layer)
    config = _json(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Cmd": list(image.command),
                "Env": ["PATH=/bin", "HOME=/tmp"],
                "User": str(USER),
                "WorkingDir": "/tmp",  # noqa: S108 - inside the image
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha}"]},
        }
    )
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = _json([{"Config": name, "RepoTags": [image.name], "Layers": [f"{sha}/layer.tar"]}])
    with tarfile.open(archive, "w") as tar:
        _add(tar, name, config)
        _add_file(tar, f"{sha}/layer.tar", layer)
        _add(tar, "manifest.json", manifest)
    layer.unlink()


def is_static(program: Path) -> bool:
    """Return whether an ELF program runs without the machine's libraries: it names no interpreter; elf(5)."""
    with opened(program) as file:
        head = file.read(64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02":  # noqa: PLR2004 - 64-bit header
            return False
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
    return all(struct.unpack_from("<I", table, index * size)[0] != _INTERPRETER for index in range(count))


def _fill(tar: tarfile.TarFile, image: Image) -> None:
    for name, mode in _DIRECTORIES.items():
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)
    for name, text in _ETC.items():
        _add(tar, name, text.encode())
    for name, source in sorted(image.files.items()):
        _add_file(tar, name, source, mode=0o755)
    for name, target in sorted(image.links.items()):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _add_file(tar: tarfile.TarFile, name: str, source: Path, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = source.stat().st_size, mode
    with opened(source) as file:
        tar.addfile(entry, file)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
