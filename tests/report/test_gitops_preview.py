"""What `invoke gitops.preview` shows."""

from __future__ import annotations

from devtools.gitops.preview.applications import ApplicationGroup, Problem
from devtools.gitops.preview.compare import changes
from devtools.gitops.preview.value_files import HelmSource, ValueFile
from devtools.gitops.tree.applications import Application
from devtools.report.gitops_preview import preview_json, preview_lines
from devtools.report.text import plain


def _app(name: str, **spec: object) -> Application:
    return Application(data={"metadata": {"name": name}, "spec": spec})


FILES = (
    ValueFile(written="$values/a.yaml", path="a.yaml", state="dropped", why="the file does not exist"),
    ValueFile(written="$values/b.yaml", path="b.yaml"),
)
GROUP = ApplicationGroup(
    name="dev",
    file="argocd/apps/dev.yaml",
    kind="ApplicationSet",
    applications=(_app("api", project="shop"), _app("web")),
    steps=(("api",), ()),
    dropped=(Problem(message='unknown field "spec.x"', path="api/component.yaml"),),
    errors=(Problem(message="no key", path="web/component.yaml"),),
)


def test_all_that_goes_wrong_is_named() -> None:
    sources = {("dev", "api"): [HelmSource(source={"path": "charts/api"}, value_files=FILES)]}
    document = preview_json([GROUP], sources, None, "", "api")
    assert [plain(line).rstrip() for line in preview_lines(document, 100)] == [
        "ApplicationSet dev  2 Applications, rolling sync in 2 steps  argocd/apps/dev.yaml",
        "  ! Argo CD changes no Application of this set until this is fixed:",
        "    web/component.yaml: no key",
        "   1  api",
        "    if api is not healthy, nothing else waits",
        "   2  -",
        "  ! web is in no step: a rolling sync never syncs it",
        '  ! Argo CD ignores api/component.yaml: unknown field "spec.x"',
        "  ! api: value file $values/a.yaml is dropped: the file does not exist",
    ]


def test_changes_are_shown_field_by_field() -> None:
    after = ApplicationGroup(
        name="dev",
        file="",
        kind="ApplicationSet",
        applications=(_app("api", project="shop", source={"path": "charts/api"}), _app("jobs")),
    )
    document = preview_json([after], {}, changes([GROUP], [after]), "main", "")
    assert [plain(line) for line in preview_lines(document, 100)][2:] == [
        "since main: 3 Applications changed",
        "  ~ api",
        '    spec.source.path: (absent) -> "charts/api"',
        "  + jobs",
        "  - web",
    ]


def test_many_names_are_wrapped_below_each_other() -> None:
    names = tuple(f"application-{number}" for number in range(8))
    group = ApplicationGroup(
        name="dev", file="", kind="ApplicationSet", applications=tuple(map(_app, names)), steps=(names,)
    )
    lines = [plain(line) for line in preview_lines(preview_json([group], {}, None, "", ""), 60)]
    assert lines[1].startswith("   1  application-0")
    assert all(line.startswith("      application-") for line in lines[2:])
