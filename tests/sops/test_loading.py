"""Encrypted value files as part of a stack: found, checked, and part of the digest of a release's inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.config.values import inputs_digest, masked, merge, with_stand_ins
from devtools.errors import ConfigError
from devtools.model import Release
from devtools.redaction import Redactor
from devtools.redaction.origin import marked, unmarked
from tests.kits.stack import load, printed, repository

TEXT = "ENC[AES256_GCM,data:{},iv:yKTz=,tag:zuWd==,type:{}]"
METADATA = f"sops:\n    age:\n        - recipient: age1abc\n    mac: {TEXT.format('x', 'str')}\n"
LAYER = "stage: a\nreleases:\n  - {name: web, namespace: shop, chart: platform/web, values: {greeting: inline}}\n"
OWN = "environments/local/10-a/web.secrets.yaml"
SHARED = "environments/_shared/10-a/web.secrets.yaml"


def _repository(root: Path, **files: str) -> Path:
    texts = {"own": OWN, "shared": SHARED, "overlay": "environments/local/10-a/web.yaml"}
    return repository(root, {"layers/10-a.yaml": LAYER, **{texts[name]: text for name, text in files.items()}})


def _encrypted(data: str, kind: str = "str", metadata: str = METADATA) -> str:
    return f"greeting: {TEXT.format(data, kind)}\n{metadata}"


def _digest(release: Release) -> str:
    return inputs_digest(release, release.values, "chart")


def test_shared_files_rank_above_overlays_below_environments(tmp_path: Path) -> None:
    root = _repository(tmp_path, overlay="greeting: overlay\n", own=_encrypted("YQ=="), shared=_encrypted("Yg=="))
    stack = load(root)
    (release,) = stack.releases()
    assert [file.relative_to(root).as_posix() for file in release.secret_files] == [SHARED, OWN]
    assert merge(release, stack.environment, root=root).data == {"greeting": "overlay"}
    hidden = merge(release, stack.environment, root=root, secrets=masked(release, "***"))
    assert hidden.data == {"greeting": "***"}
    assert {str(where) for where in hidden.origins.values()} == {f"{OWN}:1:1"}
    assert with_stand_ins([release], {release.id: {"a": 1}}) == {release.id: {"a": 1, "greeting": "encrypted"}}


def test_the_digest_depends_on_plaintext_and_not_on_recipients(tmp_path: Path) -> None:
    made = []
    for number, text in enumerate(
        ("", _encrypted("YQ=="), _encrypted("YQ==", metadata=METADATA.replace("age1abc", "age1x")), _encrypted("Yg=="))
    ):
        files = {"own": text} if text else {}
        (release,) = load(_repository(tmp_path / str(number), **files)).releases()
        made.append(_digest(release))
    assert made[1] == made[2]
    assert len(set(made)) == 3


def test_plain_text_is_an_error_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(_repository(tmp_path, own=f"a: 1\nb: hunter2\n{_encrypted('YQ==')}", shared="greeting: hunter2\n"))
    found = printed(caught.value)
    assert [text.split(" (")[0] for text in found] == [
        f"{SHARED}:1:1: is not encrypted by SOPS",
        f"{OWN}:1:1: a is in plain text",
        f"{OWN}:2:1: b is in plain text",
    ]
    assert "hunter2" not in str(found)


def test_a_file_of_no_release_is_an_error(tmp_path: Path) -> None:
    root = _repository(tmp_path)
    (root / "environments/local/10-a").mkdir(parents=True)
    (root / "environments/local/10-a/wep.secrets.yaml").write_text(_encrypted("YQ=="))
    with pytest.raises(ConfigError, match="1 problem") as caught:
        load(root)
    assert printed(caught.value) == [
        (
            "environments/local/10-a/wep.secrets.yaml:1:1: no release of this layer has this name "
            "(did you mean 'web.secrets.yaml'?)"
        )
    ]


def test_marked_values_are_secret_whatever_their_keys_are_called() -> None:
    values = marked({"replicas": 4711471147, "list": ["plainly-named"], "share": 3.14159265, "on": True})
    redactor = Redactor()
    redactor.learn(values)
    assert redactor.text("4711471147 plainly-named 3.14159265 True") == "*** *** *** True"
    assert redactor.hide(values) == {"replicas": "***", "list": ["***"], "share": "***", "on": True}
    assert [type(value) for value in unmarked(values).values()] == [int, list, float, bool]


@pytest.mark.parametrize(
    ("number", "as_go_writes_it"),
    [(4711471147, "4.711471147e+09"), (5_000_000, "5e+06"), (1.5e12, "1.5e+12"), (10**23, "1e+23")],
)
def test_marked_numbers_are_hidden_as_templates_write_them(number: float, as_go_writes_it: str) -> None:
    redactor = Redactor()
    redactor.learn(marked({"number": number}))
    assert redactor.hide({"a": as_go_writes_it}) == {"a": "***"}
    assert redactor.hide({"a": str(number)}) == {"a": "***"}


def test_short_marked_values_are_hidden_as_whole_values() -> None:
    redactor = Redactor()
    redactor.learn(marked({"pin": 4711, "word": "ab", "on": "true"}))
    shown = redactor.hide({"data": {"a": "4711", "b": "ab", "c": "cab 4711", "d": "true"}})
    assert shown == {"data": {"a": "***", "b": "***", "c": "cab 4711", "d": "true"}}
