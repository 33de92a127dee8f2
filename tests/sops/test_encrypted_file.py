"""Files that SOPS encrypted: recognised, their recipients named, plain text in them found at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.base.yaml_positions import parse
from devtools.sops.encrypted_file import ciphertext_digest, encryption_problems, is_encrypted, recipients, stand_ins

FILE = Path("environments/dev/10-a/web.secrets.yaml")
TEXT = "ENC[AES256_GCM,data:xmkI,iv:yKTz=,tag:zuWd==,type:str]"
COUNT = "ENC[AES256_GCM,data:iXDN,iv:iVizj=,tag:Cl/M==,type:int]"
METADATA = f"sops:\n    age:\n        - recipient: age1abc\n          enc: x\n    mac: {TEXT}\n    version: 3.13.3\n"
GROUPS = f"""\
sops:
    key_groups:
        - pgp:
            - fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4
          kms:
            - arn: arn:aws:kms:eu-central-1:1:key/a
        - gcp_kms:
            - resource_id: projects/p/keys/k
          azure_kv:
            - {{vault_url: "https://v.vault.azure.net", name: k, version: "1"}}
          hc_vault:
            - {{vault_address: "https://vault:8200", engine_path: sops, key_name: k}}
    mac: {TEXT}
"""


def test_recipients_of_every_kind() -> None:
    assert recipients(parse(METADATA.encode(), FILE).data) == ("age age1abc",)
    assert recipients(parse(GROUPS.encode(), FILE).data) == (
        "PGP FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4",
        "AWS KMS arn:aws:kms:eu-central-1:1:key/a",
        "GCP KMS projects/p/keys/k",
        "Azure Key Vault https://v.vault.azure.net/k/1",
        "Vault https://vault:8200/sops/k",
    )


@pytest.mark.parametrize(
    "sops", ["[]", "{age: 1}", "{age: [1], pgp: {a: 1}, key_groups: 3}", "{key_groups: [1, {age: x}]}"]
)
def test_odd_metadata_names_no_recipients(sops: str) -> None:
    assert recipients(parse(f"sops: {sops}\n".encode(), FILE).data) == ()


def test_plain_text_is_a_problem_at_its_place() -> None:
    raw = (
        f'a:\n    password: {TEXT}\n    user: hunter2\nlist:\n    - {COUNT}\n    - 17\nempty: ""\nnothing:\n{METADATA}'
    )
    found = [str(problem) for problem in encryption_problems(parse(raw.encode(), FILE))]
    assert [text.split(" (")[0] for text in found] == [
        f"{FILE}:3:5: a.user is in plain text",
        f"{FILE}:6:7: list.1 is in plain text",
    ]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("raw", ["", "a: secret\n", "a: secret\nsops: {}\n", "sops: 3\n"])
def test_a_file_without_metadata_is_not_encrypted(raw: str) -> None:
    (problem,) = encryption_problems(parse(raw.encode(), FILE))
    assert str(problem).startswith(f"{FILE}:1:1: is not encrypted by SOPS (encrypt it: sops encrypt --in-place {FILE}")


def test_the_digest_covers_what_is_encrypted_and_no_metadata() -> None:
    one, other = ({"a": text, "sops": {"age": [who]}} for text, who in ((TEXT, "x"), (TEXT, "y")))
    assert ciphertext_digest([one]) == ciphertext_digest([other]) != ciphertext_digest([{"a": COUNT}])
    assert not ciphertext_digest([])


def test_stand_ins_have_the_shape_of_the_values() -> None:
    data = {"a": TEXT, "n": {"count": COUNT, "list": [TEXT, None, ""]}, "sops": {"mac": TEXT}}
    assert stand_ins(data, "***") == {"a": "***", "n": {"count": "***", "list": ["***", None, ""]}}
    assert stand_ins(data, "x", typed=True) == {"a": "x", "n": {"count": 0, "list": ["x", None, ""]}}


def test_a_file_of_sops_is_recognised() -> None:
    assert is_encrypted(f"a: {TEXT}\n{METADATA}".encode())
    assert not is_encrypted(b"a: 1\nsops:\n  mac: none\n")
