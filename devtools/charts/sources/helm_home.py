"""Configures chart sources and their credentials in helm's files, so that no argument contains them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import yaml_text
from devtools.charts.sources.credentials import Access
from devtools.helm.chart_commands import OCI, HelmCharts


def with_sources(helm: HelmCharts, sources: Mapping[str, tuple[str, Access]]) -> HelmCharts:
    """Return a helm that knows these sources by name; its `home`, which only this user may read, has credentials."""
    repositories, registries = [], {}
    for name, (url, access) in sources.items():
        login = access.login
        if not url.startswith(OCI):
            keys = {"username": login.username, "password": login.password} if login else {}
            ca = {"caFile": str(access.ca)} if access.ca else {}
            repositories.append({"name": name, "url": url, **keys, **ca})
        elif login:
            token = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
            registries[urlsplit(url).netloc] = {"auth": token}
    write_whole(helm.repositories, yaml_text({"apiVersion": "", "repositories": repositories}), mode=0o600)
    if registries:
        write_whole(helm.registry, json.dumps({"auths": registries}), mode=0o600)
    secrets = tuple(secret for _, access in sources.values() for secret in access.secrets)
    return replace(helm, knows_sources=True, is_logged_in=bool(registries), secrets=secrets)
