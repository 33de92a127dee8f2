"""Keys of SOPS for a test, and files that the real program encrypts for them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(kw_only=True)
class Keys:
    """A directory with keys: `has` is the environment of a user who has them, `lacks` of one who has none."""

    directory: Path
    sops: Path  # the program
    has: Mapping[str, str] = field(default_factory=dict)
    recipient: tuple[str, str] = ("", "")  # the flag of sops and its value

    @property
    def lacks(self) -> dict[str, str]:
        empty = self.directory / "empty"
        empty.mkdir(exist_ok=True, mode=0o700)
        return {"HOME": str(empty), "GNUPGHOME": str(empty), "SOPS_AGE_KEY_FILE": str(empty / "none")}

    def encrypt(self, file: Path, text: str) -> Path:
        """Write a file of encrypted values; the plain text goes through a pipe."""
        argv = [str(self.sops), "encrypt", *self.recipient, "--filename-override", "x.yaml"]
        env = {**os.environ, **self.has}
        made = subprocess.run(argv, input=text, env=env, text=True, capture_output=True, check=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made.stdout, encoding="utf-8")
        return file


# Made by age-keygen 1.3.2 for these tests; nothing else is encrypted for it.
AGE_KEY = "AGE-SECRET-KEY-1T6W7FSTG9ZJ7UAKAHATYE4N0QK0ZS79MPWKK3KWAD3KUY6VDN3FQH722YL"
AGE_RECIPIENT = "age1xgfwd24kjgxcj798gatagu8au84dt3aw52k8fgjr4j6cmq9az9gqg8e5e6"


def age_keys(directory: Path, sops: Path) -> Keys:
    """A key of age."""
    key = directory / "age.txt"
    key.write_text(AGE_KEY)
    return Keys(directory=directory, sops=sops, has={"SOPS_AGE_KEY_FILE": str(key)}, recipient=("--age", AGE_RECIPIENT))


def pgp_keys(directory: Path, sops: Path) -> Keys:
    """A key of GnuPG, in a home of its own; its agent ends when the directory goes."""
    home = directory / "gnupg"
    home.mkdir(mode=0o700)
    gpg = shutil.which("gpg") or pytest.skip("gpg is not on PATH")
    env = {**os.environ, "GNUPGHOME": str(home)}
    make = [gpg, "--batch", "--passphrase", "", "--quick-gen-key", "test@example.com", "default", "default", "never"]
    subprocess.run(make, env=env, check=True, capture_output=True)
    listed = subprocess.run([gpg, "--with-colons", "-K"], env=env, check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    return Keys(directory=directory, sops=sops, has={"GNUPGHOME": str(home)}, recipient=("--pgp", fingerprint))
