"""infra/kuberay: what each overlay gives the cluster, and that a fault in any file is found."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.profile import Profile
from tests.infra.findings import INFRA, Finding, files_of, planted
from tests.infra.kuberay_check import check, health_settings, overlays
from tests.infra.kustomize import NotBuiltError, build

KIND, CLOUD, BASE = "kuberay/overlays/kind", "kuberay/overlays/cloud", "kuberay/base"
MONITORING = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}"
APPLIED = [f"{overlay}{part}" for overlay in (CLOUD, KIND) for part in ("", "/generate", "/run")]
OPERATIONS = INFRA.parent / "docs" / "operations.md"

# file, what stands there, what is planted instead, and what the finding names
FAULTS = {
    "a field of the CRD": (f"{BASE}/cluster.yaml", "authOptions:", "authOption:", "authOption"),
    "a field of a worker group": (f"{CLOUD}/gpu.yaml", "minReplicas:", "minReplica:", "workerGroupSpecs.1"),
    "a field of a pod": (f"{BASE}/cluster.yaml", "terminationGracePeriodSeconds:", "terminationGracePeriod:",
                         "terminationGracePeriod'"),
    "a field of a container": (f"{CLOUD}/gpu.yaml", "imagePullPolicy:", "imagePolicy:", "imagePolicy"),
    "a field of a policy": (f"{BASE}/network.yaml", "policyTypes:", "policyType:", "policyType'"),
    "a field of the autoscaler": (f"{CLOUD}/autoscaler.yaml", "idleTimeoutSeconds:", "idleTimeout:", "idleTimeout'"),
    "a field of the autoscaler's container": (f"{CLOUD}/autoscaler.yaml", "mountPath: /tmp", "mount: /tmp",
                                              "autoscalerOptions.volumeMounts.0"),
    "a field of a plain job": ("kuberay/run/digits.yaml", "backoffLimit:", "backofLimit:", "Job/run-digits"),
    "a field of a RayJob": ("kuberay/generate/digits.yaml", "entrypointNumCpus:", "entrypointCpus:", "entrypointCpus"),
    "a field of a kustomization": (f"{KIND}/kustomization.yaml", "patches:", "patchesJson6902:", "patchesJson6902"),
    "a number in quotes": (f"{BASE}/cluster.yaml", "replicas: 2", 'replicas: "2"', "replicas"),
    "a mode that is none": (f"{BASE}/cluster.yaml", "mode: token", "mode: tokens", "authOptions.mode"),
    "a patch of nothing": (f"{KIND}/kustomization.yaml", "name: gan}\n    path", "name: gans}\n    path", "patches"),
    "a path that is not there": (f"{CLOUD}/autoscaler.yaml", "/spec/workerGroupSpecs/0/replicas",
                                 "/spec/workerGroupSpecs/9/replicas", "/spec/workerGroupSpecs/9/replicas"),
    "a file that is not there": (f"{BASE}/kustomization.yaml", "network.yaml", "networks.yaml", "networks.yaml"),
    "a floating tag": (f"{KIND}/kustomization.yaml", "newTag: 0.1.0-cpu", "newTag: latest", "gan-ray:latest"),
    "a floating major": (f"{CLOUD}/kustomization.yaml", "newTag: 0.1.0-cuda", 'newTag: "1"', "gan-ray:1"),
    "an image with no tag": (f"{CLOUD}/gpu.yaml", "image: gan-ray-cuda", "image: gan-ray-gpu", "gan-ray-gpu"),
    "a secret in clear": (f"{BASE}/cluster.yaml", "{name: HOME, value: /tmp}",
                          "{name: AWS_SECRET_ACCESS_KEY, value: abc}", "AWS_SECRET_ACCESS_KEY"),
    "the token in clear": (f"{CLOUD}/gpu.yaml", "{name: HOME, value: /tmp}", "{name: RAY_AUTH_TOKEN, value: abc}",
                           "RAY_AUTH_TOKEN"),
    "a Secret with its data": (f"{BASE}/accounts.yaml", "apiVersion: v1\nkind: ServiceAccount",
                               "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {a: b}\n---\n"
                               "apiVersion: v1\nkind: ServiceAccount", "Secret/x.stringData"),
    "root": (f"{BASE}/cluster.yaml", "runAsUser: 1000", "runAsUser: 0", "securityContext"),
    "root in a container": (f"{CLOUD}/gpu.yaml", "allowPrivilegeEscalation: false",
                            "allowPrivilegeEscalation: false\n              runAsUser: 0", "runs as root"),
    "rights": (f"{BASE}/cluster.yaml", "drop: [ALL]", "drop: [NET_RAW]", "capabilities"),
    "a root file system to write": ("kuberay/generate/digits.yaml", "readOnlyRootFilesystem: true",
                                    "readOnlyRootFilesystem: false", "readOnlyRootFilesystem"),
    "rights of the autoscaler": (f"{CLOUD}/autoscaler.yaml", "allowPrivilegeEscalation: false",
                                 "allowPrivilegeEscalation: true", "autoscalerOptions.securityContext"),
    "a token for all": (f"{BASE}/cluster.yaml", "automountServiceAccountToken: false",
                        "automountServiceAccountToken: true", "automountServiceAccountToken"),
    "an account's token": (f"{BASE}/accounts.yaml", "automountServiceAccountToken: false",
                           "automountServiceAccountToken: true", "ServiceAccount/gan-head"),
    "an account that is none": (f"{CLOUD}/gpu.yaml", "serviceAccountName: gan-worker",
                                "serviceAccountName: gan-workers", "gan-workers"),
    "a load balancer": (f"{BASE}/cluster.yaml", "serviceType: ClusterIP", "serviceType: LoadBalancer", "serviceType"),
    "Ray Client's port": (f"{BASE}/cluster.yaml", "containerPort: 6379", "containerPort: 10001", "10001"),
    "a port of the host": (f"{BASE}/cluster.yaml", "containerPort: 8265", "containerPort: 8265, hostPort: 80", "80:"),
    "no default denial": (f"{BASE}/network.yaml", "policyTypes: [Ingress, Egress]\n---",
                          "policyTypes: [Egress]\n---", "NetworkPolicy"),
    "the Jobs API for all": (f"{BASE}/network.yaml", "- podSelector: {matchLabels: {ray.io/originated",
                             "- podSelector: {}\n        - podSelector: {matchLabels: {ray.io/originated",
                             "jobs-api.spec.ingress.0"),
    "an address of the world": (f"{BASE}/network.yaml", f"[{MONITORING}]", "[{ipBlock: {cidr: 0.0.0.0/0}}]",
                                "metrics.spec.ingress.0"),
    "a line that is no YAML": (f"{BASE}/cluster.yaml", "metadata: {name: gan}", "metadata: {name: gan", "line"),
    "all ports for another namespace": (f"{BASE}/network.yaml", "      ports: [{protocol: TCP, port: 8080}]\n", "",
                                        "metrics.spec.ingress.0"),
    "the node's role": (f"{CLOUD}/egress.yaml", "169.254.0.0/16", "10.0.0.0/8", "https.spec.egress.0"),
    "no token": (f"{BASE}/cluster.yaml", "mode: token", "mode: disabled", "authOptions"),
    "another Ray": (f"{BASE}/cluster.yaml", "rayVersion: 2.60.0", "rayVersion: 2.61.0", "rayVersion"),
    "a head that trains": (f"{BASE}/cluster.yaml", 'num-cpus: "0"', 'num-cpus: "2"', "num-cpus"),
}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return files_of("kuberay")


def test_both_overlays_and_their_jobs_are_without_a_finding(files: dict[str, str]) -> None:
    assert overlays(files) == APPLIED
    assert check(files) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_in_its_file_and_field(files: dict[str, str], fault: str) -> None:
    file, right, wrong, named = FAULTS[fault]
    found = check(planted(files, file, right, wrong))
    assert any(named in str(finding) for finding in found), found
    assert any(finding.file == file for finding in found) or _named_after_the_build(file, found)


def test_a_reference_is_not_taken_for_a_secret_in_clear(files: dict[str, str]) -> None:
    referred = "{name: RAY_AUTH_TOKEN, valueFrom: {secretKeyRef: {name: gan-ray-token, key: auth_token}}}"
    assert check(planted(files, f"{CLOUD}/gpu.yaml", "{name: HOME, value: /tmp}", referred)) == []


def test_an_image_by_its_digest_is_pinned(files: dict[str, str]) -> None:
    assert check(planted(files, f"{KIND}/kustomization.yaml", "newTag: 0.1.0-cpu", f"digest: sha256:{'0a' * 32}")) == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", APPLIED)
def test_an_overlay_is_built_as_kustomize_builds_it(files: dict[str, str], overlay: str) -> None:
    made = subprocess.run(["kubectl", "kustomize", INFRA / overlay], capture_output=True, text=True, check=True)
    theirs = {_id(body): body for body in yaml.safe_load_all(made.stdout)}
    assert {_id(one.body): one.body for one in build(files, overlay)} == theirs


def test_the_head_hears_of_dead_hosts_as_the_operators_manual_says(files: dict[str, str]) -> None:
    (said,) = (line for line in OPERATIONS.read_text().splitlines() if line.startswith("export RAY_health_check"))
    said = said.partition("#")[0]
    wanted = dict(re.findall(r"(RAY_health_check_\w+)=(\w+)", said))
    assert len(wanted) == 3
    for overlay in (KIND, CLOUD):
        (cluster,) = (one for one in build(files, overlay) if one.kind == "RayCluster")
        assert health_settings(cluster) == wanted


def test_a_job_that_is_stopped_has_the_time_for_its_end(files: dict[str, str]) -> None:
    (job,) = build(files, f"{KIND}/generate")
    environment = yaml.safe_load(job.body["spec"]["runtimeEnvYAML"])["env_vars"]
    assert environment["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert environment["RAY_JOB_STOP_WAIT_TIME_S"] == str(Profile().ray.stop_wait_s)
    (run,) = build(files, f"{KIND}/run")
    assert run.body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > Profile().ray.stop_wait_s


def test_the_autoscaler_alone_has_a_token_of_kubernetes(files: dict[str, str]) -> None:
    (cluster,) = (one for one in build(files, CLOUD) if one.kind == "RayCluster")
    spec = cluster.body["spec"]
    assert "api-token" in _mounts(spec["autoscalerOptions"])
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    every = [container for group in groups for container in group["template"]["spec"]["containers"]]
    assert not any("api-token" in _mounts(container) for container in every)


def test_the_readme_makes_each_secret_that_is_named(files: dict[str, str]) -> None:
    named = set(re.findall(r"secret(?:Name|Ref|KeyRef): (?:\{name: )?([\w-]+)", "\n".join(files.values())))
    assert named == {"gan-ray-token", "gan-store"}
    for secret in named:
        assert f"create secret generic {secret} " in files["kuberay/README.md"]


def test_a_kustomization_that_kustomize_would_refuse_is_not_built(files: dict[str, str]) -> None:
    with pytest.raises(NotBuiltError, match=r"overlays/kind/kustomization\.yaml: resources: nowhere\.yaml"):
        build(planted(files, f"{KIND}/kustomization.yaml", "store.yaml", "nowhere.yaml"), KIND)


def _id(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def _mounts(container: Mapping[str, Any]) -> set[str]:
    return {mount["name"] for mount in container["volumeMounts"]}


def _named_after_the_build(file: str, found: list[Finding]) -> bool:
    """A kustomization's images and denials are seen on what is built of it."""
    return Path(file).name == "kustomization.yaml" or any("none denies all" in finding.problem for finding in found)
