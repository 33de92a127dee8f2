"""Which tools we stand on, which versions of them, and what we accept from a user's PATH instead of our own.

Pure: how a version is asked for and read is said here; asking is the toolchain's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Version = tuple[int, int, int]
Same = Literal["major", "minor", "never"]

_VERSION = re.compile(r"(?<![\w.])v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?")
_KUBE = "k8s.io/component-base/version"
_SOPS_VERSION = ("--version", "--disable-version-check")  # it would look for a newer one on the network
_EQUAL: dict[Same, int] = {"major": 1, "minor": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Programs built together from one go.mod, `tools/<name>/go.mod`; `version` is that of its main module."""

    name: str
    version: str
    module: str  # the module whose version this is
    packages: tuple[str, ...]
    stamps: tuple[str, ...] = ()  # what `-X` sets, so that the program knows its version
    usually: str  # how long a first build takes on two cores, for people

    @property
    def ldflags(self) -> str:
        """The linker's flags: no symbol tables, and the version stamped in."""
        return " ".join(("-s -w", *(f"-X {stamp}" for stamp in self.stamps)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One program: its pinned version, and the rule for taking another one from PATH."""

    name: str
    version: str
    family: str = ""  # empty: from PyPI, a script beside the interpreter
    same: Same  # up to which part a version from PATH must equal the pinned one
    at_least: bool = True  # and it must not be older
    ask: tuple[str, ...] = ("--version",)  # empty: it does not know its version
    linux_only: bool = False
    lazy: bool = False  # built by the first command that needs it, not by `invoke toolchain`

    @property
    def rule(self) -> str:
        """What is accepted from PATH, in words."""
        if self.same == "never":
            return "only ours"
        text = ".".join(self.version.split(".")[: _EQUAL[self.same]]) + ".x"
        return f"{text}, at least {self.version}" if self.at_least else text

    def accepts(self, found: str) -> bool:
        """Whether `found`, as `read_version` gives it, may stand in for the pinned version."""
        if self.same == "never" or not found or "-" in found:
            return False  # a pre-release is nobody's promise
        theirs, ours = parts(found), parts(self.version)
        equal = _EQUAL[self.same]
        return theirs[:equal] == ours[:equal] and (theirs >= ours or not self.at_least)


FAMILIES: tuple[Family, ...] = (
    Family(
        name="kwok",
        version="0.8.0",
        module="sigs.k8s.io/kwok",
        packages=("sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok/cmd/kwokctl"),
        stamps=("sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0",),
        usually="2 min",
    ),
    Family(
        name="etcd",
        version="3.6.5",
        module="go.etcd.io/etcd/server/v3",
        packages=("go.etcd.io/etcd/server/v3",),
        usually="1 min",
    ),
    Family(
        name="kubernetes",
        version="1.34.4",
        module="k8s.io/kubernetes",
        packages=tuple(
            f"k8s.io/kubernetes/cmd/{program}"
            for program in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        ),
        stamps=(f"{_KUBE}.gitVersion=v1.34.4", f"{_KUBE}.gitMajor=1", f"{_KUBE}.gitMinor=34"),
        usually="4 to 6 min",
    ),
    Family(
        name="helm",
        version="4.3.1",
        module="helm.sh/helm/v4",
        packages=("helm.sh/helm/v4/cmd/helm",),
        stamps=("helm.sh/helm/v4/internal/version.version=v4.3.1",),
        usually="2 min",
    ),
    Family(
        name="kubeconform",
        version="0.8.0",
        module="github.com/yannh/kubeconform",
        packages=("github.com/yannh/kubeconform/cmd/kubeconform",),
        stamps=("main.version=v0.8.0",),
        usually="1 min",
    ),
    Family(
        name="argocd-preview",
        version="3.5.7",
        module="github.com/argoproj/argo-cd/v3",
        packages=("ameide.io/devtools/tools/argocd-preview",),
        usually="5 min",
    ),
    Family(
        name="helm-unittest",
        version="1.1.2",
        module="github.com/helm-unittest/helm-unittest",
        packages=("github.com/helm-unittest/helm-unittest/cmd/helm-unittest",),
        usually="2 min",
    ),
    Family(
        name="helmfile",
        version="1.8.0",
        module="github.com/helmfile/helmfile",
        packages=("github.com/helmfile/helmfile",),
        stamps=("github.com/helmfile/helmfile/pkg/app/version.version=v1.8.0",),
        usually="12 min",
    ),
    Family(
        name="sops",
        version="3.13.3",
        module="github.com/getsops/sops/v3",
        packages=("github.com/getsops/sops/v3/cmd/sops",),
        usually="5 min",
    ),
)

TOOLS: tuple[Tool, ...] = (
    Tool(name="helm", version="4.3.1", family="helm", same="major", ask=("version", "--short")),
    Tool(name="kwok", version="0.8.0", family="kwok", same="minor"),
    Tool(name="kwokctl", version="0.8.0", family="kwok", same="minor"),
    Tool(name="etcd", version="3.6.5", family="etcd", same="minor"),
    Tool(name="kube-apiserver", version="1.34.4", family="kubernetes", same="minor", at_least=False),
    Tool(name="kube-controller-manager", version="1.34.4", family="kubernetes", same="minor", at_least=False),
    Tool(name="kube-scheduler", version="1.34.4", family="kubernetes", same="minor", at_least=False),
    # The real node's own: kubectl goes into a busybox image, so it must be static, and all three must match.
    Tool(name="kubectl", version="1.34.4", family="kubernetes", same="never"),
    Tool(name="kubelet", version="1.34.4", family="kubernetes", same="never", linux_only=True),
    Tool(name="kube-proxy", version="1.34.4", family="kubernetes", same="never", linux_only=True),
    Tool(name="buf", version="1.75.0", same="major"),
    Tool(name="kubeconform", version="0.8.0", family="kubeconform", same="minor", ask=("-v",), lazy=True),
    Tool(name="argocd-preview", version="3.5.7", family="argocd-preview", same="never", lazy=True),
    Tool(name="sops", version="3.13.3", family="sops", same="major", at_least=False, ask=_SOPS_VERSION, lazy=True),
    Tool(name="helm-unittest", version="1.1.2", family="helm-unittest", same="never", ask=(), lazy=True),
    Tool(name="helmfile", version="1.8.0", family="helmfile", same="minor", ask=("version", "-o", "short"), lazy=True),
)


def tool(name: str) -> Tool:
    """The tool of that name; KeyError for one we do not know."""
    return {item.name: item for item in TOOLS}[name]


def family(name: str) -> Family:
    """The family of that name; KeyError for one we do not know."""
    return {item.name: item for item in FAMILIES}[name]


def read_version(output: str) -> str:
    """The first `x.y.z` or `x.y.z-pre` that a tool printed, without `v` or build metadata; empty when there is none."""
    found = _VERSION.search(output)
    return "" if found is None else ".".join(found.groups()[:3]) + (found.group(4) or "")


def parts(version: str) -> Version:
    """`1.34.4` or `1.26` as numbers, what is missing as 0; anything after a `-` is dropped."""
    numbers = [int(part) for part in version.split("-", maxsplit=1)[0].split(".")]
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch
