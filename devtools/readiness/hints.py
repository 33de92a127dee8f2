"""Hints on what to check if a workload cannot start, by Kubernetes' reason and message; pure."""

from __future__ import annotations

import re

_NEEDS = "if another release makes the missing object, declare that with `needs`"
_CLASSES = "`kubectl get storageclasses` shows what there is"
# reason, pattern of the message, hint: the first match counts; a wrong hint is worse than none
_HINTS = tuple(
    (re.compile(reason), re.compile(pattern, re.IGNORECASE), hint)
    for reason, pattern, hint in (
        ("InvalidImageName", "", "correct the image's name: `invoke images.list` shows what the charts want"),
        (
            "ErrImageNeverPull",
            "",
            "load it into the nodes with `invoke images.preload`, or let them pull it: imagePullPolicy",
        ),
        (
            "Image",
            r"unauthorized|denied|forbidden|authorization failed",
            "the registry refuses it: is the image's name right, and has the pod a pull secret (imagePullSecrets)?",
        ),
        ("Image", "", "is the image's name right, and does the cluster reach its registry?"),
        ("", "executable file not found", "its image has no such program: correct the command, or the image"),
        ("CrashLoopBackOff|^BackOff", r"\(OOMKilled\)", "it takes more memory than its limit: resources.limits.memory"),
        ("CrashLoopBackOff|^BackOff", "", "if it only waits for another release, declare that with `needs`"),
        ("CreateContainerConfigError|FailedMount", r"not found|couldn't find|non-?existent", _NEEDS),
        ("FailedCreate", r"not found|no PriorityClass with name", _NEEDS),
        ("FailedCreate", "exceeded quota", "`kubectl describe resourcequotas` shows the usage and the limits"),
        ("Unschedulable", "", "compare what the pod asks for with `kubectl describe nodes`"),
        ("ProvisioningFailed|FailedBinding", "", _CLASSES),
        ("ExternalProvisioning", "", "the provisioner of its storage class does not answer: is it installed?"),
        ("DeploymentPaused", "", "`kubectl rollout resume` lets it go on"),
    )
)


def hint_of(reason: str, message: str) -> str:
    """Return the hint for a symptom; empty if its message says enough."""
    return next((hint for of, pattern, hint in _HINTS if of.search(reason) and pattern.search(message)), "")
