"""What Argo CD is given: sets whose templates real Go templates render, projects, waves, health."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.app.environment import App
from devtools.process.runner import Command
from tests.gitops.test_export import run
from tests.kits.shop import make_shop

ENVIRONMENTS = ("dev", "staging", "production")


def documents(root: Path, pattern: str) -> dict[str, Any]:
    return {
        path.stem: yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted((root / "gitops").glob(pattern))
    }


def components(root: Path, environment: str) -> dict[str, Any]:
    found = (root / f"gitops/environments/{environment}/components").glob("*/*/component.yaml")
    return {path.parent.name: yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted(found)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_shop(tmp_path_factory.mktemp("argocd") / "shop")
    assert run(root).code == 0
    return root


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_shop(tmp_path_factory.mktemp("argocd") / "shop")
    assert run(root, order="waves").code == 0
    return root


def merged(base: Any, over: Any) -> Any:
    """As a strategic merge of Applications: maps merge, lists are replaced."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def generated(
    app: App, directory: Path, application_set: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """The Applications of a set by name, rendered by Helm, whose templates are Go's with the same functions."""
    spec = application_set["spec"]
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: set\nversion: 0.1.0\n")
    text = yaml.safe_dump({"template": spec["template"]}, width=10_000)
    patch = "".join(f"  {line}\n" for line in spec["templatePatch"].splitlines())
    (directory / "templates/all.yaml").write_text(
        "{{- range .Values.components }}\n---\n" + text + "patch:\n" + patch + "{{- end }}\n"
    )
    (directory / "values.yaml").write_text(yaml.safe_dump({"components": list(found.values())}))
    argv = (str(app.toolchain.path("helm")), "template", "set", str(directory))
    result = app.runner.run(Command(argv=argv, cwd=directory, timeout=300))
    assert result.ok, result.stderr
    applications = [
        merged(item["template"], item["patch"]) for item in yaml.load_all(result.stdout, yaml.CSafeLoader) if item
    ]
    return {item["metadata"]["name"]: item for item in applications}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_set_generates_what_plain_applications_say(
    shop: Path, waves: Path, environment: str, app: App, tmp_path: Path
) -> None:
    application_set = documents(shop, f"argocd/apps/{environment}.yaml")[environment]
    found = generated(app, tmp_path / "set", application_set, components(shop, environment))
    plain = documents(waves, f"argocd/applications/{environment}/*.yaml")
    assert {item["metadata"]["name"] for item in plain.values()} == set(found)
    for item in plain.values():
        name = item["metadata"]["name"]
        assert normal(found[name]["spec"]) == normal(item["spec"]), name
        assert found[name]["metadata"]["labels"] == item["metadata"]["labels"]


def normal(spec: dict[str, Any]) -> dict[str, Any]:
    """Without empty lists of value files, which mean the same as none."""
    spec = copy.deepcopy(spec)
    for source in spec.get("sources", [spec.get("source", {})]):
        if source.get("helm", {}).get("valueFiles") == []:
            del source["helm"]["valueFiles"]
    return spec


def test_every_component_is_in_one_step_and_none_is_empty(shop: Path) -> None:
    for environment in ENVIRONMENTS:
        steps = documents(shop, f"argocd/apps/{environment}.yaml")[environment]["spec"]["strategy"]["rollingSync"][
            "steps"
        ]
        values = [value for step in steps for match in step["matchExpressions"] for value in match["values"]]
        waves_ = {component["wave"] for component in components(shop, environment).values()}
        assert values == sorted(waves_, key=int)


def test_a_manual_environment_updates_nothing_by_itself(shop: Path) -> None:
    sets = documents(shop, "argocd/apps/*.yaml")
    updates = {
        name: {step.get("maxUpdate") for step in item["spec"]["strategy"]["rollingSync"]["steps"]}
        for name, item in sets.items()
    }
    assert updates == {"dev": {None}, "staging": {None}, "production": {0}}
    assert "automated" not in sets["production"]["spec"]["template"]["spec"]["syncPolicy"]


@pytest.mark.parametrize(
    ("environment", "prune", "confirms"), [("dev", True, False), ("staging", True, True), ("production", None, True)]
)
def test_policies(shop: Path, waves: Path, environment: str, *, prune: bool | None, confirms: bool) -> None:
    application_set = documents(shop, f"argocd/apps/{environment}.yaml")[environment]
    policy = application_set["spec"]["template"]["spec"]["syncPolicy"]
    assert policy.get("automated", {}).get("prune") is prune
    for item in documents(waves, f"argocd/applications/{environment}/*.yaml").values():
        assert ("Prune=confirm" in item["spec"]["syncPolicy"]["syncOptions"]) is confirms
        assert item["metadata"]["finalizers"]


def test_an_undeclared_component_is_removed_only_as_prune_says(tmp_path: Path) -> None:
    """The Application of a removed component takes all that it deployed with it."""
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    settings.write_text(settings.read_text().replace("sync: manual", "sync: manual, prune: never"))
    assert run(root).code == 0
    specs = {name: item["spec"] for name, item in documents(root, "argocd/apps/*.yaml").items()}
    assert {name: spec["syncPolicy"] for name, spec in specs.items()} == {
        "dev": {"applicationsSync": "sync"},
        "staging": {"applicationsSync": "create-update"},
        "production": {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True},
    }
    assert [name for name, spec in specs.items() if spec["template"]["metadata"].get("finalizers")] == [
        "dev",
        "staging",
    ]
    assert '(append .syncOptions "Prune=false")' in specs["production"]["templatePatch"]
    assert run(root, order="waves").code == 0
    parents = documents(root, "argocd/apps/*.yaml")
    assert [name for name, item in parents.items() if item["metadata"].get("finalizers")] == ["dev", "staging"]
    assert parents["staging"]["spec"]["syncPolicy"]["automated"]["prune"] is False
    assert "finalizers" not in documents(root, "argocd/applications/production/*.yaml")["api"]["metadata"]


def test_values_of_the_chart_of_others_come_from_this_repository(waves: Path) -> None:
    spec = documents(waves, "argocd/applications/dev/*.yaml")["cache"]["spec"]
    chart, values = spec["sources"]
    assert (chart["repoURL"], chart["chart"], chart["targetRevision"]) == (
        "https://charts.example.com",
        "cache",
        "1.2.3",
    )
    assert chart["helm"]["valueFiles"] == [
        "$values/gitops/environments/dev/components/operators/cache/values.yaml",
        "$values/environments/_shared/20-operators/cache.yaml",
    ]
    assert values == {"repoURL": "https://git.example.com/shop.git", "targetRevision": "main", "ref": "values"}


def test_value_files_exist(shop: Path) -> None:
    for environment in ENVIRONMENTS:
        for component in components(shop, environment).values():
            assert all((shop / file).is_file() for file in component["valueFiles"])
            assert component["ignoreMissingValueFiles"] is False


def test_sync_options(shop: Path) -> None:
    found = components(shop, "dev")
    assert "ServerSideApply=true" in found["widget-operator"]["syncOptions"]
    assert "SkipDryRunOnMissingResource=true" in found["stock"]["syncOptions"]
    assert "SkipDryRunOnMissingResource=true" not in found["web"]["syncOptions"]
    assert "RespectIgnoreDifferences=true" in found["api"]["syncOptions"]
    assert not [name for name, item in found.items() if "CreateNamespace=true" in item["syncOptions"]]
    assert found["api"]["ignoreDifferences"] == [
        {"group": "apps", "kind": "Deployment", "name": "api", "jsonPointers": ["/spec/replicas"]}
    ]
    assert found["web"]["spec"] == {"revisionHistoryLimit": 3}


def test_projects_allow_no_more_than_is_used(shop: Path) -> None:
    found = documents(shop, "argocd/projects/*.yaml")
    assert set(found) == {"shop", "shop-platform", "shop-gitops"}
    platform = found["shop-platform"]["spec"]
    assert platform["sourceRepos"] == ["https://charts.example.com", "https://git.example.com/shop.git"]
    assert {item["kind"] for item in platform["clusterResourceWhitelist"]} == {
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace")
    }
    assert found["shop"]["spec"]["destinations"] == [
        {"name": name, "namespace": "shop"} for name in ("dev", "production", "staging")
    ]
    # Helm's records of what the laptop installed are not orphans.
    orphans = {"warn": True, "ignore": [{"kind": "Secret", "name": "sh.helm.release.v1.*"}]}
    assert all(item["spec"].get("orphanedResources", orphans) == orphans for item in found.values())
    kinds = {item["kind"] for item in found["shop"]["spec"]["clusterResourceWhitelist"]}
    assert "CustomResourceDefinition" not in kinds


def test_waves_need_the_health_of_applications(shop: Path, waves: Path) -> None:
    rolling, ordered = documents(shop, "argocd/config/*.yaml"), documents(waves, "argocd/config/*.yaml")
    assert rolling["argocd-cmd-params-cm"]["data"] == {"applicationsetcontroller.enable.progressive.syncs": "true"}
    key = "resource.customizations.health.argoproj.io_Application"
    assert key in ordered["argocd-cm"]["data"]
    assert key not in rolling["argocd-cm"]["data"]
    assert "argocd-cmd-params-cm" not in ordered


def test_what_is_not_mapped_is_noted(tmp_path: Path) -> None:
    notes = run(make_shop(tmp_path / "shop")).document["notes"]
    texts = {(note["component"], note["message"].partition(":")[0]) for note in notes}
    assert ("dev/shop/api", "contract 'http api") in texts
    assert ("dev/shop-system/cache", "timeout 90s is not mapped") in texts
    assert ("dev/shop-system/cache", "on_failure") in texts
    assert ("production/shop-system/cache", "not exported") in texts


def test_smoke_runs_after_each_sync(waves: Path, app: App) -> None:
    spec = documents(waves, "argocd/applications/dev/*.yaml")["shop-smoke"]["spec"]["source"]
    argv = [str(app.toolchain.path("helm")), "template", "shop-smoke", str(waves / spec["path"])]
    argv += [word for file in spec["helm"]["valueFiles"] for word in ("--values", str(waves) + file)]
    result = app.runner.run(Command(argv=tuple(argv), cwd=waves, timeout=300))
    assert result.ok, result.stderr
    jobs = [item for item in yaml.load_all(result.stdout, yaml.CSafeLoader) if item and item["kind"] == "Job"]
    assert jobs
    for job in jobs:
        assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PostSync"
        assert not [key for key in job["metadata"]["annotations"] if key.startswith("helm.sh/")]


@pytest.fixture(scope="module")
def addons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_shop(tmp_path_factory.mktemp("argocd") / "shop")
    assert run(root, layout="addons", charts="extracted").code == 0
    return root


def test_layout_addons_copies_values_and_charts(addons: Path, app: App, tmp_path: Path) -> None:
    application_set = documents(addons, "addons/bootstrap/dev.yaml")["dev"]
    git, clusters = application_set["spec"]["generators"][0]["matrix"]["generators"]
    assert git["git"]["files"] == [{"path": "gitops/addons/environments/dev/*/*/component.yaml"}]
    assert clusters == {"list": {"elements": [{"cluster": "dev"}]}}
    found = (addons / "gitops/addons/environments/dev").glob("*/*/component.yaml")
    params = {
        path.parent.name: yaml.load(path.read_text(), yaml.CSafeLoader) | {"cluster": "dev"} for path in sorted(found)
    }
    applications = generated(app, tmp_path / "set", application_set, params)
    api = applications["dev-api"]["spec"]["source"]["helm"]["valueFiles"]
    assert api == [
        "/gitops/addons/default/apps/api/inline.yaml",
        "/gitops/addons/default/apps/api/values.yaml",
        "/gitops/addons/environments/dev/apps/api/values.yaml",
    ]
    copied = (addons / "gitops/addons/environments/dev/apps/api/values.yaml").read_bytes()
    assert copied == (addons / "environments/dev/40-apps/api.yaml").read_bytes()
    assert applications["dev-api"]["spec"]["destination"] == {"name": "dev", "namespace": "shop"}
    assert applications["dev-cache"]["spec"]["source"]["path"] == "gitops/addons/charts/acme/cache"
    assert (addons / "gitops/addons/charts/acme/cache/Chart.yaml").is_file()
    assert all((addons / file[1:]).is_file() for item in applications.values() for file in files_of(item))
    assert run(addons, layout="addons", charts="extracted", check=True).code == 0


def files_of(application: Mapping[str, Any]) -> list[str]:
    return application["spec"]["source"]["helm"].get("valueFiles") or []


def test_a_layout_of_flux_is_refused(shop: Path) -> None:
    done = run(shop, layout="infra")
    assert done.code == 2
    assert "layout infra is for Flux" in done.err


def test_clusters_by_labels_make_a_matrix(tmp_path: Path, app: App) -> None:
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    settings.write_text(settings.read_text().replace("cluster: {name: dev}", "cluster: {labels: {tier: dev}}"))
    notes = run(root, environments=("dev",)).document["notes"]
    application_set = documents(root, "argocd/apps/dev.yaml")["dev"]
    clusters = application_set["spec"]["generators"][0]["matrix"]["generators"][1]["clusters"]
    assert clusters["selector"] == {"matchLabels": {"tier": "dev"}}
    values = {"cluster": "eu", "server": "https://eu.example.com"}
    params = {name: item | {"values": values} for name, item in components(root, "dev").items()}
    applications = generated(app, tmp_path / "set", application_set, params)
    assert applications["eu-dev-api"]["spec"]["destination"] == {"server": values["server"], "namespace": "shop"}
    assert any("labels choose those of dev" in note["message"] for note in notes)


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    root = make_shop(tmp_path / "shop")
    values = root / "tenants/acme/40-apps/web.yaml"
    values.parent.mkdir(parents=True)
    values.write_text("replicas: 2\n")
    (root / "tenants/acme/tenant.yaml").write_text("applications: [web]\nenvironments: [dev]\nquota: {pods: '9'}\n")
    return root


def test_a_tenant_gets_its_own_application_with_its_values_last(tenants: Path) -> None:
    notes = [note["message"] for note in run(tenants).document["notes"]]
    own, base = components(tenants, "dev")["acme-web"], components(tenants, "dev")["web"]
    assert (own["namespace"], own["project"], own["wave"]) == ("acme", "shop-acme", base["wave"])
    assert own["valueFiles"] == [*base["valueFiles"], "tenants/acme/40-apps/web.yaml"]
    assert "CreateNamespace=true" in own["syncOptions"]
    assert "acme-web" not in components(tenants, "production")
    project = documents(tenants, "argocd/projects/*.yaml")["shop-acme"]["spec"]
    assert project["destinations"] == [{"name": "dev", "namespace": "acme"}]
    assert any(message.startswith("quota and members of tenant acme are not exported") for message in notes)
    layer = tenants / "layers/40-apps.yaml"
    layer.write_text(layer.read_text().replace("- name: web\n", "- name: web\n    create_namespace: false\n"))
    assert run(tenants).code == 0
    assert "CreateNamespace=true" not in components(tenants, "dev")["acme-web"]["syncOptions"]


def test_layout_addons_copies_values_of_tenants(tenants: Path) -> None:
    run(tenants, layout="addons")
    path = "gitops/addons/environments/dev/apps/acme-web/component.yaml"
    files = yaml.load((tenants / path).read_text(), yaml.CSafeLoader)["valueFiles"]
    assert files[-1] == "gitops/addons/tenants/acme/40-apps/web.yaml"
    assert (tenants / files[-1]).read_text() == "replicas: 2\n"


def test_encrypted_values_are_left_out_with_a_note(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "shop")
    overlay = root / "environments/dev/40-apps/web.yaml"
    overlay.write_text("password: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[AES256_GCM,data:y]\n  version: 3.9.0\n")
    notes = run(root).document["notes"]
    assert "environments/dev/40-apps/web.yaml" not in components(root, "dev")["web"]["valueFiles"]
    assert [note for note in notes if "does not decrypt SOPS: environments/dev/40-apps/web.yaml" in note["message"]]


SECRETS = {
    "layers/40-apps.yaml": ("    team: checkout", "    team: checkout\n    secrets: [api-db]"),
    "layers/20-operators.yaml": ("    timeout: 90s", "    timeout: 90s\n    secrets: [cache-auth]"),
    "devtools.yaml": ("  team: store", "  team: store\n  secret_store: vault"),
}


def with_secrets(root: Path) -> Path:
    for file, (old, new) in SECRETS.items():
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))
    return root


def test_secrets_come_from_the_store_by_their_key(tmp_path: Path, app: App) -> None:
    root = with_secrets(make_shop(tmp_path / "shop"))
    assert run(root).code == 0
    directory = "gitops/environments/production/components/apps/api/secrets"
    secret = yaml.load((root / directory / "api-db.yaml").read_text(), yaml.CSafeLoader)
    assert secret["metadata"] == {"name": "api-db", "namespace": "shop"}
    assert secret["spec"]["dataFrom"] == [{"extract": {"key": "production/checkout/api/api-db"}}]
    assert secret["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}
    rolling = documents(root, "argocd/apps/dev.yaml")["dev"]
    found = generated(app, tmp_path / "set", rolling, components(root, "dev"))
    assert run(root, order="waves").code == 0
    plain = documents(root, "argocd/applications/dev/*.yaml")
    for name in ("api", "cache", "web"):
        assert normal(found[f"dev-{name}"]["spec"]) == normal(plain[name]["spec"])
    chart, values = plain["api"]["spec"]["sources"]
    assert chart["helm"]["valueFiles"][-1] == "$values/environments/dev/40-apps/api.yaml"
    assert values["path"] == "gitops/environments/dev/components/apps/api/secrets"


def test_secrets_for_flux_lie_beside_the_release(tmp_path: Path) -> None:
    root = with_secrets(make_shop(tmp_path / "shop"))
    assert run(root, engine="flux").code == 0
    directory = root / "gitops/flux/dev/40-apps"
    assert (
        "api-secrets.yaml" in yaml.load((directory / "kustomization.yaml").read_text(), yaml.CSafeLoader)["resources"]
    )
    (secret,) = yaml.load_all((directory / "api-secrets.yaml").read_text(), yaml.CSafeLoader)
    assert secret["spec"]["dataFrom"] == [{"extract": {"key": "dev/checkout/api/api-db"}}]


def test_a_namespace_that_must_exist_is_not_created(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "shop")
    layer = root / "layers/40-apps.yaml"
    own = (
        layer.read_text()
        .replace("  - name: api\n", "  - name: api\n    namespace: own\n")
        .replace("shop/api", "own/api")
    )

    def created(text: str) -> tuple[bool, bool]:
        layer.write_text(text)
        assert run(root).code == 0
        argocd = "CreateNamespace=true" in components(root, "dev")["api"]["syncOptions"]
        assert run(root, engine="flux").code == 0
        flux = (root / "gitops/flux/dev/40-apps/api.yaml").read_text()
        return argocd, "createNamespace: true" in flux

    assert created(own) == (True, True)
    assert created(own.replace("namespace: own\n", "namespace: own\n    create_namespace: false\n")) == (False, False)


@pytest.mark.parametrize("typed", [{"engine": "kustomize"}, {"engine": "flux", "layout": "infra"}])
def test_what_makes_no_secrets_says_so(tmp_path: Path, typed: dict[str, str]) -> None:
    notes = run(with_secrets(make_shop(tmp_path / "shop")), **typed).document["notes"]
    texts = {note["component"]: note["message"] for note in notes if "ExternalSecret" in note["message"]}
    assert texts["dev/shop/api"] == "no ExternalSecret is exported for api-db: make them otherwise"


def test_secrets_without_a_store_are_an_error_at_each_release(tmp_path: Path) -> None:
    root = with_secrets(make_shop(tmp_path / "shop"))
    settings = root / "devtools.yaml"
    settings.write_text(settings.read_text().replace("  secret_store: vault\n", ""))
    done = run(root)
    assert done.code == 2
    assert "layers/40-apps.yaml:4:5: release shop/api has secrets, but no secret store is set" in done.err


def test_the_api_server_compares(shop: Path, waves: Path) -> None:
    """Else some CRDs are out of sync for ever, and hold back every later step."""
    template = documents(shop, "argocd/apps/dev.yaml")["dev"]["spec"]["template"]
    plain = documents(waves, "argocd/applications/dev/*.yaml").values()
    for item in (template, *plain):
        assert item["metadata"]["annotations"]["argocd.argoproj.io/compare-options"] == "ServerSideDiff=true"


def test_private_repositories_are_secrets_of_argo_cd(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "shop")
    settings = root / "devtools.yaml"
    text = settings.read_text()
    credentials = "  credentials: {https://git.example.com/shop.git: shop-git, https://charts.example.com: charts}\n"
    settings.write_text(text.replace("  team: store\n", "  team: store\n" + credentials))
    notes = [note["message"] for note in run(root).document["notes"]]
    assert any("https://charts.example.com is private: Argo CD needs Secret charts" in message for message in notes)
    assert components(root, "dev")["cache"]["helm"] == {"passCredentials": True}
    settings.write_text(settings.read_text().replace("  team: store\n", "  team: store\n  secret_store: vault\n"))
    notes = [note["message"] for note in run(root).document["notes"]]
    assert not any("is private" in message for message in notes)
    secrets = documents(root, "argocd/repositories/*.yaml")
    template = secrets["charts"]["spec"]["target"]["template"]
    assert template["metadata"]["labels"] == {"argocd.argoproj.io/secret-type": "repository"}
    assert template["data"] == {"type": "helm", "url": "https://charts.example.com", "name": "charts"}
    assert secrets["shop-git"]["spec"]["dataFrom"] == [{"extract": {"key": "shared/store/argocd/shop-git"}}]
    kinds = documents(root, "argocd/projects/*.yaml")["shop-gitops"]["spec"]["namespaceResourceWhitelist"]
    assert {"group": "external-secrets.io", "kind": "ExternalSecret"} in kinds
