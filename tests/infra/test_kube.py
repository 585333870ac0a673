"""Kubernetes objects: their schemas, and what they must never allow."""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from infra import make_secrets
from tests.infra.manifests import KUBE, OVERLAYS, ROOT, base, built, matches, pods, read

SCHEMAS = "MIEN_KUBERAY_SCHEMAS"
KUBERNETES = "1.33"
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|_KEY|KEY_ID")


@pytest.fixture(params=["base", *OVERLAYS])
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return base() if request.param == "base" else built(request.param)


def ray_objects(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    beside = [*read(KUBE / "jobs" / "train.yaml"), *read(ROOT / "infra" / "schedules" / "raycronjob.yaml")]
    return [one for one in [*objects, *beside] if one["apiVersion"].startswith("ray.io/")]


def strict(schema: Any) -> Any:
    """The schema without room for unknown fields, which the API server would drop without a word."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    named = isinstance(made.get("properties"), dict) and made.get("type") == "object"
    if named and "additionalProperties" not in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made


def test_objects_of_kubernetes_fit_its_schemas(objects: list[dict[str, Any]]) -> None:
    checked = [one for one in objects if not one["apiVersion"].startswith("ray.io/")]
    assert len(checked) > 15
    for one in checked:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_pods_of_ray_fit_the_schema_of_pods(objects: list[dict[str, Any]]) -> None:
    for pod in pods(objects):
        kubernetes_validate.validate(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "p", "labels": pod.labels},
                "spec": pod.spec,
            },
            KUBERNETES,
            strict=True,
        )


def test_objects_of_kuberay_fit_its_schemas(objects: list[dict[str, Any]]) -> None:
    where = os.environ.get(SCHEMAS)
    if not where:
        pytest.skip(f"{SCHEMAS} names no folder of KubeRay's schemas: its kinds are not checked")
    kinds = set()
    for one in ray_objects(objects):
        schema = json.loads((Path(where) / f"{one['kind']}.v1.json").read_text())
        jsonschema.validate(one, strict(schema))
        kinds.add(one["kind"])
    assert kinds == {"RayCluster", "RayJob", "RayCronJob"}


def test_the_check_of_kuberay_sees_a_misspelt_field() -> None:
    where = os.environ.get(SCHEMAS)
    if not where:
        pytest.skip(f"{SCHEMAS} names no folder of KubeRay's schemas")
    wrong = copy.deepcopy(next(one for one in base() if one["kind"] == "RayCluster"))
    wrong["spec"]["headGroupSpec"]["rayStartParam"] = {}
    with pytest.raises(jsonschema.ValidationError, match="rayStartParam"):
        jsonschema.validate(wrong, strict(json.loads((Path(where) / "RayCluster.v1.json").read_text())))


def test_no_pod_is_root_or_reaches_its_machine(objects: list[dict[str, Any]]) -> None:
    found = list(pods(objects))
    assert len(found) == 7
    for pod in found:
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True, pod.name
        assert context["runAsUser"] > 0, pod.name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec), pod.name
        assert not [v for v in pod.spec.get("volumes", []) if "hostPath" in v], pod.name
        if pod.name != "RayCluster/mien/head":  # whose autoscaler speaks to the API server
            assert pod.spec["automountServiceAccountToken"] is False, pod.name


def test_containers_are_pinned_bounded_and_closed(objects: list[dict[str, Any]]) -> None:
    for pod in pods(objects):
        for container in pod.containers():
            where = f"{pod.name} {container['name']}"
            _, _, tag = container["image"].rpartition(":")
            assert re.match(r"\d+\.\d+", tag), f"{where}: {container['image']}"
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), where
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["readOnlyRootFilesystem"] is True, where
            assert context["capabilities"] == {"drop": ["ALL"]}, where
            assert not context.get("privileged"), where


def test_no_secret_has_a_value_here(objects: list[dict[str, Any]]) -> None:
    assert not [one for one in [*objects, *ray_objects([])] if one["kind"] == "Secret"]
    for pod in pods(objects):
        for container in pod.containers():
            for variable in container.get("env", []):
                if SECRET.search(variable["name"]) and "value" in variable:
                    assert variable["value"].startswith("/run/secrets/"), f"{pod.name} {variable['name']}"


def test_secrets_that_pods_read_are_those_that_the_instructions_make(objects: list[dict[str, Any]]) -> None:
    told = (KUBE / "base" / "kustomization.yaml").read_text()
    made = dict(re.findall(r"create secret generic (\S+)\s+--from-\S+?=(?:\w+=)?(\S+)", told))
    assert set(made.values()) <= set(make_secrets.drawn())
    read_by_pods: set[str] = set()
    for pod in pods(objects):
        read_by_pods |= {v["secret"]["secretName"] for v in pod.spec.get("volumes", []) if "secret" in v}
        for container in pod.containers():
            read_by_pods |= {one["secretRef"]["name"] for one in container.get("envFrom", [])}
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    read_by_pods.add(variable["valueFrom"]["secretKeyRef"]["name"])
    cluster = next(one for one in objects if one["kind"] == "RayCluster")
    assert read_by_pods | {cluster["spec"]["authOptions"]["secretName"]} == set(made)


def test_nothing_listens_outside_or_without_asking_who_it_is(objects: list[dict[str, Any]]) -> None:
    assert not [one for one in objects if one["kind"] in ("Ingress", "Gateway", "HTTPRoute")]
    for service in (one for one in objects if one["kind"] == "Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP", service["metadata"]["name"]
    cluster = next(one for one in objects if one["kind"] == "RayCluster")["spec"]
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    (mlflow,) = (pod for pod in pods(objects) if pod.labels["app"] == "mlflow")
    (server,) = mlflow.spec["containers"]
    assert "basic-auth" in server["command"]
    assert {"name": "MLFLOW_BASIC_AUTH_FAIL_CLOSED", "value": "true"} in server["env"]


def test_what_no_policy_names_is_denied(objects: list[dict[str, Any]]) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "NetworkPolicy"}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        for rule in policy.get("ingress", []):
            assert rule["from"], f"{name} lets everybody in"
            for peer in rule["from"]:
                assert "podSelector" in peer, f"{name} lets whole namespaces in"
                assert "ipBlock" not in peer, name


def test_every_selector_takes_a_pod_that_is_there(objects: list[dict[str, Any]]) -> None:
    labels = [pod.labels for pod in pods(objects)]
    for one in objects:
        spec, name = one.get("spec", {}), f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "NetworkPolicy":
            selectors = [spec["podSelector"]]
            for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
                peers = [*rule.get("from", []), *rule.get("to", [])]
                selectors += [peer["podSelector"] for peer in peers if "namespaceSelector" not in peer]
        elif one["kind"] in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
            selectors = [spec["selector"]]
        elif one["kind"] == "Service":
            selectors = [{"matchLabels": spec["selector"]}]
        else:
            continue
        for selector in selectors:
            assert any(matches(selector, one_pod) for one_pod in labels), f"{name}: {selector}"


def test_the_gpu_overlay_asks_for_gpus_and_dev_for_none() -> None:
    asked = {}
    for overlay in OVERLAYS:
        (cluster,) = (one for one in built(overlay) if one["kind"] == "RayCluster")
        (group,) = cluster["spec"]["workerGroupSpecs"]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        asked[overlay] = (limits.get("nvidia.com/gpu"), "affinity" in group["template"]["spec"])
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert asked == {"dev": (None, False), "gpu": (1, True)}


def test_the_clusters_of_jobs_are_there() -> None:
    (cluster,) = (one for one in base() if one["kind"] == "RayCluster")
    for one in ray_objects([]):
        spec = one["spec"].get("jobTemplate", one["spec"])
        assert spec["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    (retrain,) = (pod for pod in pods(base()) if pod.labels["app"] == "retrain")
    assert f"http://{cluster['metadata']['name']}-head-svc:8265" in retrain.spec["containers"][0]["command"]


def test_ray_is_the_version_of_the_lock() -> None:
    (cluster,) = (one for one in base() if one["kind"] == "RayCluster")
    assert f"ray=={cluster['spec']['rayVersion']} " in (ROOT / "requirements.lock").read_text()
