"""Helm: exact commands, and what its answers mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtools.errors import DevtoolsError
from devtools.helm.commands import Helm, documents, parse_manifest, parse_tests, parse_upgrade
from devtools.model import ObjectRef, ReleaseId
from devtools.process.runner import Command

HELM = Helm(program=Path("/opt/helm"), kubeconfig=Path("/kube"), context="kwok-x")
KAFKA = ReleaseId("ameide", "kafka")


def _words(command: Command) -> str:
    return " ".join(command.argv)


def test_upgrade_is_one_explicit_command() -> None:
    command = HELM.upgrade(KAFKA, Path("/charts/kafka"), timeout=90.4, history=5, labels={"b": "2", "a": "1"})
    assert _words(command) == (
        "/opt/helm upgrade kafka /charts/kafka --install --skip-crds --namespace ameide --values - --reset-values"
        " --wait=hookOnly --timeout 90s --history-max 5 --labels a=1,b=2 --output json"
        " --kubeconfig /kube --kube-context kwok-x --color never"
    )
    assert command.timeout == 90.4 + 30


def test_a_first_install_leaves_the_schemas_to_the_server() -> None:
    command = HELM.upgrade(KAFKA, Path("/c"), timeout=1, history=1, labels={}, first=True)
    assert " --output json --disable-openapi-validation --kubeconfig" in _words(command)


def test_every_command_names_kubeconfig_and_context() -> None:
    commands = [
        HELM.uninstall(KAFKA, timeout=30),
        HELM.rollback(KAFKA, 3, timeout=30),
        HELM.test(KAFKA, "t", timeout=30),
        HELM.hooks(KAFKA),
    ]
    for command in commands:
        assert "--kubeconfig /kube --kube-context kwok-x" in _words(command)
        assert command.timeout is not None


def test_a_path_with_a_comma_is_one_file() -> None:
    command = HELM.template(KAFKA, Path("/c"), Path('/a, "b"/v.json'))
    assert command.argv[command.argv.index("--values") + 1] == '"/a, ""b""/v.json"'


def test_a_test_runs_alone() -> None:
    assert "test kafka --namespace ameide --filter name=kafka-up --timeout 60s" in _words(
        HELM.test(KAFKA, "kafka-up", timeout=60)
    )


MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web}
---
# nothing
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: other}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: t, annotations: {helm.sh/hook: "pre-install, test"}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: x}
spec: {enum: [=, "!="]}
"""


def test_the_objects_of_a_manifest_leave_hooks_out() -> None:
    assert parse_manifest(MANIFEST, "ameide") == (
        ObjectRef("v1", "Service", "ameide", "web"),
        ObjectRef("v1", "ConfigMap", "other", "a"),
        ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "ameide", "x"),
    )


def test_tests_are_found_among_hooks() -> None:
    assert [item["metadata"]["name"] for item in parse_tests(MANIFEST)] == ["t"]


@pytest.mark.parametrize(
    "hook",
    ["kind: Job\nmetadata: {generateName: t", "kind: [Job]\nmetadata: {name: t", "kind: Job\nmetadata: {name: [t]"],
)
def test_a_test_without_a_valid_name_is_an_error(hook: str) -> None:
    with pytest.raises(DevtoolsError, match=r"^a test hook is not a Kubernetes object with a name: "):
        parse_tests(f"{hook}, annotations: {{helm.sh/hook: test}}}}\n")


def test_a_bare_equals_sign_is_a_string() -> None:
    assert list(documents(MANIFEST))[-1]["spec"]["enum"] == ["=", "!="]


def test_the_answer_of_an_upgrade_may_follow_warnings() -> None:
    answer = {"version": 3, "manifest": MANIFEST}
    deployed = parse_upgrade("WARNING: something\n" + json.dumps(answer), "ameide")
    assert (deployed.revision, len(deployed.objects)) == (3, 3)


@pytest.mark.parametrize("text", ["", "not json", "{}", '{"version": "x", "manifest": ""}', "{]"])
def test_any_other_answer_is_a_clear_error(text: str) -> None:
    with pytest.raises(DevtoolsError, match="output is not a release"):
        parse_upgrade(text, "ameide")
