"""What `gitops.verify` finds, and the rules it applies; the table in the documentation is made from `RULES`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools.errors import Location

Engine = Literal["Argo CD", "Flux", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what happens if nothing finds it, and what to do."""

    engine: Engine
    effect: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One thing that is wrong in a GitOps tree."""

    file: Path
    line: int
    column: int
    rule: str
    message: str
    hint: str = ""


def finding(rule: str, where: Location, message: str, hint: str = "") -> Finding:
    """A finding of a rule, with the rule's own fix if `hint` is empty."""
    return Finding(
        file=where.file,
        line=where.line,
        column=where.column,
        rule=rule,
        message=message,
        hint=hint or RULES[rule].fix,
    )


def _rule(engine: Engine, effect: str, fix: str) -> Rule:
    return Rule(engine=engine, effect=effect, fix=fix)


_ARGO, _FLUX, _BOTH = ("Argo CD", "Flux", "both")

RULES: dict[str, Rule] = {
    "unreadable-file": _rule("both", "a controller cannot read the file", "correct the YAML"),
    # ApplicationSets
    "patch-unknown-key": _rule(
        "Argo CD", "Argo CD drops the key from the patch without an error", "correct the key, or remove it"
    ),
    "patch-drops-source": _rule(
        "Argo CD",
        "a patch replaces whole lists: a source of the template is lost",
        "repeat every source of the template in the patch",
    ),
    "patch-changes-project": _rule(
        "Argo CD", "a patch cannot change the project: it is ignored", "set the project in the template"
    ),
    "patch-not-yaml": _rule("Argo CD", "every Application of the set stays as it is", "correct the patch"),
    "templated-type": _rule(
        "Argo CD",
        "a template writes text only: the field is a boolean, number, list or map",
        "move the field to templatePatch and write it with toJson",
    ),
    "default-with-missingkey": _rule(
        "Argo CD",
        "with missingkey=error, `default` fails if the key is absent, and the whole set freezes",
        'use dig or get: {{ dig "chart" "version" "HEAD" . }}',
    ),
    "missingkey-not-error": _rule(
        "Argo CD",
        "a key that is absent becomes the text <no value>",
        'add goTemplateOptions: ["missingkey=error"]',
    ),
    "go-template-off": _rule(
        "Argo CD", "without goTemplate, {{ .name }} stays in the Application as text", "add goTemplate: true"
    ),
    "template-key-missing": _rule(
        "Argo CD",
        "the template reads a key that the generator does not set: no Application of the set is updated",
        "add the key, or read it with dig or get",
    ),
    "template-fails": _rule(
        "Argo CD", "no Application of the set is updated", "correct the template, or the parameters"
    ),
    "component-unknown-key": _rule(
        "Argo CD", "no ApplicationSet reads the key: it has no effect", "correct the key, or remove it"
    ),
    "component-reserved-key": _rule(
        "Argo CD", "the git generator overwrites the key with its own", "rename the key, for example to chart.path"
    ),
    "component-not-generated": _rule(
        "Argo CD", "no ApplicationSet reads the file: nothing is deployed", "correct the generator's path, or delete it"
    ),
    "greedy-glob": _rule(
        "Argo CD",
        "`*` also matches slashes: files in deeper directories become Applications",
        "exclude the deeper files, or move them",
    ),
    "unquoted-wave": _rule(
        "Argo CD", "a number is written as a float or refused (1000000 becomes 1e+06)", 'quote it: "10"'
    ),
    "wave-on-generated": _rule(
        "Argo CD",
        "sync-wave on generated Applications orders nothing",
        "use strategy RollingSync, or plain Applications in an app-of-apps",
    ),
    "step-missing": _rule(
        "Argo CD", "an Application in no RollingSync step is never synced", "add its label value to a step"
    ),
    "step-twice": _rule("Argo CD", "an Application in two steps is synced in the first one only", "keep one of them"),
    "manual-rolling-sync": _rule(
        "Argo CD",
        "RollingSync syncs out-of-sync Applications itself, automated or not",
        "set maxUpdate: 0 in every step",
    ),
    "progressive-syncs-off": _rule(
        "Argo CD",
        "without progressive syncs the controller ignores RollingSync",
        'set applicationsetcontroller.enable.progressive.syncs: "true" in argocd-cmd-params-cm',
    ),
    # Applications
    "application-health-missing": _rule(
        "Argo CD",
        "without a health check for Applications, waves do not wait",
        "add resource.customizations.health.argoproj.io_Application to argocd-cm",
    ),
    "duplicate-application": _rule(
        "Argo CD", "two Applications of one name overwrite each other", "names are unique per Argo CD: rename one"
    ),
    "finalizer-missing": _rule(
        "Argo CD",
        "deleting the Application leaves its objects",
        "add the finalizer resources-finalizer.argocd.argoproj.io",
    ),
    "finalizer-stuck": _rule(
        "Argo CD",
        "an Application that applies its own project cannot finish its deletion once the project is gone",
        "leave the finalizer off: deleting it then leaves what it applied",
    ),
    "ref-undefined": _rule(
        "Argo CD", "the value file is looked for in a source that does not exist", "add a source with this ref"
    ),
    "ref-not-first": _rule(
        "Argo CD", "a reference counts only at the start of a path: it is taken as a directory name", "start with $ref/"
    ),
    "ref-with-chart": _rule(
        "Argo CD", "a source with ref and chart is refused", "reference a Git repository without chart"
    ),
    "chart-and-path": _rule(
        "Argo CD", "a source has a chart or a path: with both, the path is ignored or refused", "remove one of them"
    ),
    "source-path-missing": _rule(
        "Argo CD", "the Application cannot be rendered", "correct the path: it is from the repository's root"
    ),
    "archive-as-path": _rule(
        "Argo CD", "a path is a directory: an archive in Git cannot be deployed", "use the chart repository, or unpack"
    ),
    "value-file-missing": _rule(
        "both",
        "with ignoreMissingValueFiles the values vanish, without it the Application cannot be rendered",
        "correct the path, or remove it",
    ),
    "encrypted-value-file": _rule(
        "Argo CD",
        "Argo CD does not decrypt: the chart gets the encrypted text as its values",
        "use an ExternalSecret, or a plugin that decrypts",
    ),
    "inline-values-win": _rule(
        "both",
        "inline values outrank the value files of every environment",
        "move them to a value file that is listed first",
    ),
    "unpinned-version": _rule(
        "both", "the version changes without a commit", "pin an exact version; an update is a commit then"
    ),
    "hooks-mixed": _rule(
        "Argo CD", "one Argo CD hook disables every Helm hook of the Application", "use hooks of one kind"
    ),
    "source-not-permitted": _rule(
        "Argo CD", "the project refuses the Application's source", "add the repository to spec.sourceRepos"
    ),
    "destination-not-permitted": _rule(
        "Argo CD", "the project refuses the Application's destination", "add it to spec.destinations"
    ),
    "kind-not-permitted": _rule(
        "Argo CD",
        "the project refuses the object, and the sync fails",
        "add the kind to the project's allowed resources",
    ),
    "project-missing": _rule(
        "Argo CD", "an Application of an unknown project is never synced", "add the AppProject, or correct the name"
    ),
    # Flux
    "old-api-version": _rule("both", "current controllers do not serve this version", "use the current version"),
    "chart-and-chart-ref": _rule("Flux", "chart and chartRef exclude each other: it is refused", "remove one of them"),
    "source-kind": _rule(
        "Flux", "the kind cannot be used here: it is refused", "reference an OCIRepository as chartRef"
    ),
    "source-missing": _rule("Flux", "the object waits for a source that does not exist", "add the source"),
    "values-from-kind": _rule(
        "Flux", "valuesFrom reads ConfigMap and Secret only", "generate a ConfigMap from the file"
    ),
    "values-from-missing": _rule(
        "Flux", "the release waits for values that do not exist", "add the object, or correct its name"
    ),
    "values-from-suffix": _rule(
        "Flux",
        "the generator adds a hash to the name, and the HelmRelease does not get to know it",
        "add a nameReference configuration, or disableNameSuffixHash: true",
    ),
    "values-not-watched": _rule(
        "Flux",
        "changed values are noticed at the next interval only",
        'label it reconcile.fluxcd.io/watch: "Enabled"',
    ),
    "release-identity-missing": _rule(
        "Flux",
        "Helm's record gets another name or namespace: the release is installed a second time",
        "set releaseName, targetNamespace and storageNamespace",
    ),
    "upgrade-crds-missing": _rule(
        "Flux", "CRDs of the chart are installed once and never upgraded", "set upgrade.crds: CreateReplace"
    ),
    "depends-on-missing": _rule(
        "Flux", "the object waits for ever", "dependsOn names objects of the same kind that exist"
    ),
    "depends-on-other-kind": _rule(
        "Flux", "dependsOn is for objects of the same kind: it waits for ever", "use healthChecks of a Kustomization"
    ),
    "depends-on-cycle": _rule("Flux", "each waits for the other, for ever", "remove one of these dependencies"),
    "health-checks-ignored": _rule(
        "Flux", "with wait: true, healthChecks are ignored", "remove wait, or the healthChecks"
    ),
    "kustomization-path-missing": _rule(
        "Flux", "the Kustomization cannot be built", "correct the path: it is from the repository's root"
    ),
    "decryption-missing": _rule(
        "Flux", "the SOPS file is not decrypted, and is refused", "add spec.decryption to the Kustomization"
    ),
    "image-policy-missing": _rule(
        "Flux", "the marked field is never updated", "add the ImagePolicy, or correct its name"
    ),
    # kustomize
    "kustomize-file-missing": _rule("both", "kustomize cannot build the directory", "correct the path, or remove it"),
    "not-in-kustomization": _rule(
        "both", "kustomize leaves the file out: it is not deployed", "add it to resources, or move it away"
    ),
    "kustomize-deprecated": _rule(
        "both", "the field is deprecated, and removed in the next version", "use the new field"
    ),
    # schemas
    "schema-unknown-field": _rule(
        "both", "the API server drops the field, or refuses the object", "correct the field, or remove it"
    ),
    "schema-invalid": _rule("both", "the API server refuses the object", "correct the object"),
    # objects
    "crd-too-large": _rule(
        "Argo CD",
        "the annotation of a client-side apply is limited to 262,144 bytes: the sync fails",
        "add the sync option ServerSideApply=true",
    ),
    "custom-resource-before-crd": _rule(
        "both", "the custom resource is applied before its CRD exists", "order the CRD's application first"
    ),
    "plain-secret": _rule(
        "both", "the secret is readable in Git, for ever", "encrypt it with SOPS, or use an ExternalSecret; rotate it"
    ),
    "rendered-manifests": _rule(
        "both", "what was rendered once is not what the chart and its values are now", "delete it; reference the chart"
    ),
}
