"""How `plan --diff` looks: what is bounded, what is escaped, what a change is called."""

from __future__ import annotations

from typing import Any

from devtools.diff.effects import restarts
from devtools.report.changes.markdown import changes_markdown
from devtools.report.changes.text import changes_lines
from devtools.report.text import plain

COUNTS = dict.fromkeys(
    ("unchanged", "install", "upgrade", "uninstall", "blocked", "not_predicted", "restarts"), 0
) | dict.fromkeys(("add", "change", "replace", "remove", "keep", "refuse"), 0)


def field(path: str, before: Any, after: Any, **more: Any) -> dict[str, Any]:
    absent = {"added": before is None, "removed": after is None}
    return {
        "path": path,
        "before": before,
        "after": after,
        "hidden": False,
        "varies": False,
        "owner": "",
        **absent,
        **more,
    }


def document(kind: str, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    item = {"kind": kind, "name": "web", "namespace": "ns", "action": "change", "reason": "", "restarts": 0}
    release = {
        "release": "ns/web",
        "layer": "20-apps",
        "action": "upgrade",
        "reason": "inputs changed",
        "problem": "",
        "stand_in": False,
        "notes": [],
        "commands": [],
        "after": [],
        "on_failure": "keep",
        "hooks": [],
        "objects": [{**item, "notes": [], "fields": list(fields), "body": None, **more}],
    }
    counts = {**COUNTS, "releases": 1, "upgrade": 1, "change": 1}
    return {
        "stack": "shop",
        "environment": "dev",
        "seconds": 0.5,
        "sets": [{"key": "tag", "value": "`2`", "before": "1", "where": "environments/dev/environment.yaml:1:1"}],
        "before": [],
        "after": [],
        "counts": counts,
        "notices": ["<b>`gone`</b>"],
        "releases": [release],
    }


def text(made: dict[str, Any]) -> list[str]:
    return [plain(line) for line in changes_lines(made, 100)]


def test_a_crd_with_many_changes_is_cut_short() -> None:
    made = document("CustomResourceDefinition", *(field(f".spec.f{number}", None, number) for number in range(50)))
    lines = text(made)
    assert "        … 31 more fields (--output json has them)" in lines
    assert sum(".spec.f" in line for line in lines) == 19
    assert "31 more fields" in changes_markdown(made)


def test_what_is_special_about_a_field_stands_beside_it() -> None:
    made = document(
        "ConfigMap",
        field(".a", 1, 2, owner="kubectl"),
        field(".b", "x", "y", varies=True),
        field(".c", None, None, hidden=True, added=False, removed=False),
        field(".d", "one\ntwo\nthree\n", "one\n2\nthree\n"),
        field(".e", {"deep": {"er": ["x" * 40, "y" * 40]}}, None),
    )
    assert text(made)[0] == "set: tag = `2` (environments/dev/environment.yaml:1:1 says 1)"
    assert text(made)[4:] == [
        "        ~ .a: 1 → 2  (kubectl owns it: refused without --take-ownership)",
        '        ~ .b: "x" → "y"  (differs at each rendering)',
        "        ~ .c: value not shown",
        "        ~ .d:",
        "            one",
        "          - two",
        "          + 2",
        "            three",
        "        - .e:",
        "          - deep:",
        "          -   er:",
        f"          -   - {'x' * 40}",
        f"          -   - {'y' * 40}",
        "",
        "! <b>`gone`</b>",
        "Releases: 1 to upgrade. Objects: 1 to change (0.5s)",
    ]


def test_markdown_cannot_be_left_by_what_is_in_it() -> None:
    made = changes_markdown(document("ConfigMap", field(".a", "```\n</details>", "x\n```js\n")))
    assert made.count("```") == 2
    assert "\\`gone\\`" in made
    assert "> set: tag = \\`2\\` (environments" in made
    assert "<b>\\`" not in made


def test_pods_that_restart() -> None:
    template = [("spec", "template", "spec")]
    old = {"spec": {"replicas": 2}}
    assert restarts("Deployment", template, old, {"spec": {"replicas": 5}}) == (2, "")
    assert restarts("Deployment", [("spec", "replicas")], old, old) == (0, "")
    assert restarts("Deployment", template, old, {"spec": {"replicas": 2, "strategy": {"type": "Recreate"}}})[1]
    assert restarts("StatefulSet", template, {}, {"spec": {"updateStrategy": {"type": "OnDelete"}}})[0] == 0
    assert restarts("DaemonSet", template, *[{"status": {"desiredNumberScheduled": 3}}] * 2) == (3, "")
    assert restarts("CronJob", template, old, old) == (0, "")
