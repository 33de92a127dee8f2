"""Refuses local writes to environments that a GitOps controller deploys."""

from __future__ import annotations

from pathlib import Path

from devtools.config.settings import FILE, Settings
from devtools.errors import config_error

_NAMES = {"argocd": "Argo CD", "flux": "Flux"}


def controller_of(settings: Settings, environment: str) -> str:
    """Return the name of the controller that deploys an environment; empty if none does."""
    gitops = settings.gitops
    found = gitops.environments.get(environment) if gitops else None
    return _NAMES[found.controller] if found and found.controller else ""


def refuse_handed_over(settings: Settings, environment: str) -> None:
    """Raise ConfigError, at the responsible key, if a controller deploys the environment."""
    owner = controller_of(settings, environment)
    if not owner:
        return
    from devtools.base.yaml_positions import read

    message = f"environment '{environment}' is deployed by {owner}, which would undo or fight a local change"
    hint = "change it in Git and let the controller sync; to write to its cluster all the same: --force-local"
    document = read(settings.root / FILE, Path(FILE))
    raise config_error([document.problem(("gitops", "environments", environment, "controller"), message, hint)])
