"""Which images manifests name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from devtools.helm.commands import documents
from devtools.images.rendered import images_of

CASES: dict[str, tuple[str, list[str]]] = {
    "every container of a pod template": (
        """
        kind: Deployment
        spec:
          template:
            spec:
              initContainers: [{name: a, image: one}]
              containers: [{name: b, image: two}, {name: c, image: " one "}, {name: d}]
              ephemeralContainers: [{name: e, image: three}]
        """,
        ["one", "three", "two"],
    ),
    "a CronJob": (
        "{kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: x}]}}}}}}",
        ["x"],
    ),
    "a test hook": (
        "{kind: Pod, metadata: {annotations: {helm.sh/hook: test}}, spec: {containers: [{image: t}]}}",
        ["t"],
    ),
    "a pod template in a custom resource": (
        "{kind: ClickHouseInstallation, spec: {templates: {podTemplates: [{spec: {containers: [{image: ch}]}}]}}}",
        ["ch"],
    ),
    "CloudNativePG": ("{kind: Cluster, spec: {imageName: pg, instances: 1}}", ["pg"]),
    "CloudNativePG's catalog": (
        "{kind: ImageCatalog, spec: {images: [{major: 17, image: p17}, {image: p16}]}}",
        ["p16", "p17"],
    ),
    "Strimzi": ("{kind: Kafka, spec: {kafka: {image: k}, entityOperator: {topicOperator: {image: t}}}}", ["k", "t"]),
    "Redis": (
        "{kind: RedisFailover, spec: {redis: {image: r, exporter: {image: e}}, sentinel: {image: s}}}",
        ["e", "r", "s"],
    ),
    "Keycloak": ("{kind: Keycloak, spec: {image: kc}}", ["kc"]),
    "Envoy Gateway": (
        "{kind: EnvoyProxy, spec: {provider: {kubernetes: {envoyDeployment: {container: {image: envoy}}}}}}",
        ["envoy"],
    ),
    "what an operator is told to start": (
        """
        kind: Deployment
        spec:
          template:
            spec:
              containers:
                - image: operator
                  env:
                    - {name: RELATED_IMAGE_KEYCLOAK, value: kc}
                    - {name: SOME_IMAGE, value: none}
                    - {name: POSTGRES_IMAGE_NAME}
        """,
        ["kc", "operator"],
    ),
    "full names in arguments, variables and ConfigMaps": (
        """
        kind: List
        items:
          - kind: Deployment
            spec:
              template:
                spec:
                  containers:
                    - image: operator
                      args: [--solver-image=quay.io/acme/solver:v1, "https://example.com/a/b:c", --port=host.svc:80]
                      env:
                        - name: KAFKA_IMAGES
                          value: |
                            4.1.0=quay.io/acme/kafka:4.1.0
                            4.2.0=quay.io/acme/kafka:4.2.0
                        - {name: IMAGE_PROXY, value: "ghcr.io/acme/proxy-f616:v2"}
                        - {name: ENDPOINT, value: "tempo.ns.svc:4317"}
          - kind: ConfigMap
            data:
              gateway.yaml: |
                container:
                  image: docker.io/acme/ratelimit:17b1956c
              other.json: '{"image": "registry.example.com:5000/acme/x:1", "url": "docker.io/acme/not:1"}'
        """,
        [
            "docker.io/acme/ratelimit:17b1956c",
            "ghcr.io/acme/proxy-f616:v2",
            "operator",
            "quay.io/acme/kafka:4.1.0",
            "quay.io/acme/kafka:4.2.0",
            "quay.io/acme/solver:v1",
            "registry.example.com:5000/acme/x:1",
        ],
    ),
    "an image field of another kind is no image": ("{kind: ConfigMap, data: {image: x}, spec: {image: y}}", []),
    "schemas are no pods": (
        "{kind: CustomResourceDefinition, spec: {containers: [{image: {type: string}}, {image: x}]}}",
        [],
    ),
    "what is not what it should be": (
        "{kind: Cluster, spec: {imageName: {a: b}, containers: {a: b}, initContainers: [x, {image: 1, env: 5}]}}",
        [],
    ),
    "a List": ("{kind: List, items: [{kind: Pod, spec: {containers: [{image: x}]}}]}", ["x"]),
}


@pytest.mark.parametrize(("text", "images"), CASES.values(), ids=CASES.keys())
def test_images(text: str, images: list[str]) -> None:
    found: Any = documents(yaml.safe_dump(yaml.load(text, yaml.CSafeLoader)))
    assert list(images_of(found)) == images
