"""The Kubernetes objects of infra/, as files and as kustomize puts them together."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBE = ROOT / "infra" / "kube"
OVERLAYS = ("dev", "gpu")


class Pod(NamedTuple):
    """A pod as some object makes it: who makes it, its labels and its spec."""

    name: str
    labels: dict[str, str]
    spec: dict[str, Any]

    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def base() -> list[dict[str, Any]]:
    """The base's objects as its kustomization lists their files, without kustomize."""
    listed = yaml.safe_load((KUBE / "base" / "kustomization.yaml").read_text())["resources"]
    return [one for name in listed for one in read(KUBE / "base" / name)]


def built(overlay: str) -> list[dict[str, Any]]:
    """An overlay's objects; skips where neither kustomize nor kubectl is at hand."""
    words = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if shutil.which(words[0]) is None:
        pytest.skip("neither kustomize nor kubectl is on the path: overlays are not put together")
    done = subprocess.run(
        [*words, str(KUBE / "overlays" / overlay)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def read(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def pods(objects: list[dict[str, Any]]) -> Iterator[Pod]:
    """The pods of deployments, stateful sets, cron jobs and Ray clusters."""
    for one in objects:
        spec, name = one.get("spec", {}), f"{one['kind']}/{one['metadata'].get('name')}"
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield _pod(name, spec["template"])
        elif one["kind"] == "CronJob":
            yield _pod(name, spec["jobTemplate"]["spec"]["template"])
        elif one["kind"] == "RayCluster":
            yield _pod(f"{name}/head", spec["headGroupSpec"]["template"])
            for group in spec["workerGroupSpecs"]:
                yield _pod(f"{name}/{group['groupName']}", group["template"])


def _pod(name: str, template: dict[str, Any]) -> Pod:
    return Pod(name, template["metadata"]["labels"], template["spec"])


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    listed = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
    return exact and listed
