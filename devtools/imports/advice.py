"""Names the features of helmfile that a layer file lacks, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

# keys of a release or of helmDefaults that affect the cluster and have no counterpart in a layer file
NOT_CARRIED: Mapping[str, str] = {
    "cleanupOnFail": "write on_failure: rollback, which also deletes what the failed upgrade created",
    "force": "type --recreate RELEASE when an immutable field changes",
    "forceConflicts": "type --take-ownership RELEASE when another owner holds a field",
    "takeOwnership": "type --take-ownership RELEASE when another owner holds a field",
    "adopt": "type --take-ownership RELEASE at the first invoke up",
    "recreatePods": "put a checksum annotation into the chart's pod template",
    "waitForJobs": "add a contract: {kind: Job, name: …}",
    "reuseValues": "write the values that the cluster has into the overlay: helm get values RELEASE",
    "postRenderer": "put the change into the chart: copy it to charts/platform/",
    "postRendererArgs": "put the change into the chart: copy it to charts/platform/",
    "jsonPatches": "put the change into the chart: copy it to charts/platform/",
    "strategicMergePatches": "put the change into the chart: copy it to charts/platform/",
    "transformers": "put the change into the chart: copy it to charts/platform/",
    "dependencies": "declare the dependency in the chart: copy it to charts/platform/",
    "forceNamespace": "set metadata.namespace in the chart: copy it to charts/platform/",
    "verify": "archives are pinned by their sha256; invoke charts.vendor --keyring checks signatures",
    "keyring": "archives are pinned by their sha256; invoke charts.vendor --keyring checks signatures",
    "kubeContext": "set cluster.provider: context and allowed_contexts in devtools.yaml",
    "apiVersions": "charts are rendered with what the cluster serves",
    "kubeVersion": "charts are rendered with the version of the cluster",
    "disableValidation": "the API server validates",
    "disableOpenAPIValidation": "the API server validates",
    "skipSchemaValidation": "fix the values, or the schema in the chart",
    "enableDNS": "write the address into the values",
    "unitTests": "run helm unittest yourself",
    "description": "write it as a comment",
    "devel": "pin a version in charts/third_party/lock.yaml",
    "insecureSkipTLSVerify": "set chart_mirror in devtools.yaml to a source whose certificate is trusted",
    "plainHttp": "set chart_mirror in devtools.yaml",
    "env": "put it into the values",
    "serverSide": "helm decides: as the release was installed",
    "updateStrategy": "type --recreate RELEASE when an immutable field changes",
}

# hook events that become commands of a release, with the key they become and the difference in behaviour
CARRIED_EVENTS: Mapping[str, tuple[str, str]] = {
    "presync": ("before", "it runs at the root of the repository, and only if the release is synced"),
    "postsync": ("after", "it runs once the release is ready, not after a failure, and the release fails if it fails"),
}
# other hook events, and what replaces them
HOOK_EVENTS: Mapping[str, str] = {
    "preapply": "make it before: of the release, or of devtools.yaml, which runs once before invoke up",
    "prepare": "make it before: of devtools.yaml, which runs once before invoke up",
    "cleanup": "make it after: of devtools.yaml, which runs once after invoke up",
    "preuninstall": "make it a Helm hook of the chart: pre-delete",
    "postuninstall": "make it a Helm hook of the chart: post-delete",
}

SECRETS = (
    "write them into environments/ENV/LAYER/RELEASE.secrets.yaml, encrypted by SOPS, or create the Secret by a command "
    "of `before:` and let the chart refer to it"
)
