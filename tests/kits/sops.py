"""Keys of SOPS for a test, made by the real programs, and files encrypted for them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def program(name: str) -> str:
    """The program on PATH; the test is skipped if it is not there."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH")
    return found


@dataclass(kw_only=True)
class Keys:
    """A directory with keys: `has` is the environment of a user who has them, `lacks` of one who has none."""

    directory: Path
    has: Mapping[str, str] = field(default_factory=dict)
    recipient: tuple[str, str] = ("", "")  # the flag of sops and its value

    @property
    def lacks(self) -> dict[str, str]:
        empty = self.directory / "empty"
        empty.mkdir(exist_ok=True, mode=0o700)
        return {"HOME": str(empty), "GNUPGHOME": str(empty), "SOPS_AGE_KEY_FILE": str(empty / "none")}

    def encrypt(self, file: Path, text: str) -> Path:
        """Write a file of encrypted values; the plain text goes through a pipe."""
        argv = [program("sops"), "encrypt", *self.recipient, "--filename-override", "x.yaml"]
        env = {**os.environ, **self.has}
        made = subprocess.run(argv, input=text, env=env, text=True, capture_output=True, check=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made.stdout, encoding="utf-8")
        return file


def age_keys(directory: Path) -> Keys:
    """A key of age."""
    key = directory / "age.txt"
    subprocess.run([program("age-keygen"), "-o", str(key)], check=True, capture_output=True)
    public = next(line.split()[-1] for line in key.read_text().splitlines() if "public key" in line)
    return Keys(directory=directory, has={"SOPS_AGE_KEY_FILE": str(key)}, recipient=("--age", public))


def pgp_keys(directory: Path) -> Keys:
    """A key of GnuPG, in a home of its own; its agent ends when the directory goes."""
    home = directory / "gnupg"
    home.mkdir(mode=0o700)
    gpg, env = program("gpg"), {**os.environ, "GNUPGHOME": str(home)}
    make = [gpg, "--batch", "--passphrase", "", "--quick-gen-key", "test@example.com", "default", "default", "never"]
    subprocess.run(make, env=env, check=True, capture_output=True)
    listed = subprocess.run([gpg, "--with-colons", "-K"], env=env, check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    return Keys(directory=directory, has={"GNUPGHOME": str(home)}, recipient=("--pgp", fingerprint))
