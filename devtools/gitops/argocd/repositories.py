"""Credentials of private repositories, which Argo CD finds as labelled Secrets in its own namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devtools.gitops.argocd.context import NAMESPACE, Context
from devtools.gitops.component import Component, Note, Object
from devtools.gitops.secrets import external_secret

APPLICATION = "argocd"  # in keys of the secret store
SHARED = "shared"  # instead of an environment there: one Argo CD holds all of them


def private_repositories(components: Iterable[Component], context: Context) -> Mapping[str, str]:
    """Return the type of each private repository that is used, by its URL: git, helm or oci."""
    used = {context.settings.repository: "git"}
    used |= {component.chart.source.repository: component.chart.source.kind for component in components}
    return {url: used[url] for url in context.settings.credentials if url in used}


def repository_secrets(components: Iterable[Component], context: Context) -> dict[str, Object]:
    """Return an ExternalSecret for each private repository, by its name; none without a secret store."""
    store, team = context.settings.secret_store, context.settings.team
    found: dict[str, Object] = {}
    for url, kind in private_repositories(components, context).items() if store else ():
        name = context.settings.credentials[url]
        secret = external_secret(name, NAMESPACE, f"{SHARED}/{team}/{APPLICATION}/{name}", store)
        data = {"type": "git" if kind == "git" else "helm", "url": url.removeprefix("oci://")}
        data |= {"enableOCI": "true", "name": name} if kind == "oci" else {"name": name} if kind == "helm" else {}
        labels = {"argocd.argoproj.io/secret-type": "repository"}
        secret["spec"]["target"]["template"] = {"mergePolicy": "Merge", "metadata": {"labels": labels}, "data": data}
        found[name] = secret
    return found


def repository_notes(components: Iterable[Component], context: Context) -> Iterable[Note]:
    """Yield the Secrets that must be made manually because no secret store has them."""
    for url in () if context.settings.secret_store else private_repositories(components, context):
        needed = f"Secret {context.settings.credentials[url]} in {NAMESPACE}"
        label = "argocd.argoproj.io/secret-type: repository"
        yield Note(f"{url} is private: Argo CD needs {needed} with the label {label}")
