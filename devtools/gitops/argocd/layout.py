"""The layout of the files of an Argo CD export, below --out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from devtools.config.tenants import TENANTS
from devtools.gitops.component import Component, Place, ValueFile
from devtools.gitops.components import VALUES, directory_of

SHARED = "_shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one layout; `root` is the directory of the root Application, `include` selects its files there."""

    root_file: PurePosixPath
    root: PurePosixPath
    include: str
    sets: PurePosixPath
    applications: PurePosixPath
    projects: PurePosixPath
    config: PurePosixPath
    repositories: PurePosixPath
    copies_values: bool = False

    def components(self, environment: str, tier: str, name: str) -> PurePosixPath:
        """Return the directory of a component, or a pattern for those of an environment."""
        if self.copies_values:
            return PurePosixPath("addons/environments", environment, tier, name)
        return directory_of(environment, tier, name)

    def directory_of(self, component: Component) -> PurePosixPath:
        """Return the directory of a component."""
        return self.components(component.environment, component.tier, component.name)

    def moved(self, component: Component, place: Place) -> Component:
        """Return the component with the paths of its value files in this layout."""
        if not self.copies_values:
            return component
        return replace(
            component, value_files=tuple(self._moved(file, component, place) for file in component.value_files)
        )

    def _moved(self, file: ValueFile, component: Component, place: Place) -> ValueFile:
        shared = PurePosixPath("addons/default", component.tier, component.name)
        if file.resolved:
            name = "inline.yaml" if file.path.name == VALUES else file.path.name
            path = self.directory_of(component) / name
        elif file.content is not None:
            path = shared / "inline.yaml"
        elif SHARED in file.path.parts:
            path = shared / "values.yaml"
        elif TENANTS.name in file.path.parts[-4:-3]:
            path = PurePosixPath("addons/tenants", *file.path.parts[-3:])
        else:
            level = file.path.parts[-3]  # another environment if the environment extends it
            name = "values.yaml" if level == component.environment else f"values-{level}.yaml"
            path = self.directory_of(component) / name
        return replace(file, path=place.out / path, content=file.copied)


_ARGOCD = PurePosixPath("argocd")
LAYOUTS = {
    "components": Layout(
        root_file=_ARGOCD / "root.yaml",
        root=_ARGOCD,
        include="{apps/*.yaml,projects/*.yaml,repositories/*.yaml}",
        sets=_ARGOCD / "apps",
        applications=_ARGOCD / "applications",
        projects=_ARGOCD / "projects",
        config=_ARGOCD / "config",
        repositories=_ARGOCD / "repositories",
    ),
    "addons": Layout(
        root_file=PurePosixPath("apps/root.yaml"),
        root=PurePosixPath(),
        include="{addons/bootstrap/*.yaml,platform/projects/*.yaml,platform/repositories/*.yaml}",
        sets=PurePosixPath("addons/bootstrap"),
        applications=PurePosixPath("fleet"),
        projects=PurePosixPath("platform/projects"),
        config=PurePosixPath("platform/config"),
        repositories=PurePosixPath("platform/repositories"),
        copies_values=True,
    ),
}
