"""The files for Kubernetes say what is so; no cluster is needed to see that.

The kinds of Kubernetes are held against its own schemas. For KEDA's ScaledObject there is none to install: here is
what its documentation of 2.17 asks for.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from config import Settings
from config.report import example_env
from models.store import BUNDLED_DIRECTORY
from tests.kubernetes_files import KUBERNETES, Manifest, build, documents, kustomization

ROOT = KUBERNETES.parents[1]
COMPONENTS = tuple(
    sorted(
        path.parent.name
        for path in KUBERNETES.glob("*/kustomization.yaml")
        if kustomization(path.parent)["kind"] == "Component"
    )
)
SETTINGS = set(re.findall(r"^#?(CELERIAC_[A-Z_]+)=", example_env(), flags=re.MULTILINE))
CUSTOM_KINDS = {"ScaledObject", "PodMonitor"}
#: The port of a worker's /metrics, /healthz, /readyz and /scale in all files for deployments.
METRICS_PORT = 9808
SCALE_FIELDS = {"workers_wanted", "processes_wanted"}


@pytest.fixture(scope="module")
def everything() -> list[Manifest]:
    return build(KUBERNETES / "base", COMPONENTS)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def workers(manifests: list[Manifest]) -> dict[str, Manifest]:
    deployments = of_kind(manifests, "Deployment")
    return {name: found for name, found in deployments.items() if name != "celeriac-flower"}


def pod(deployment: Manifest) -> Manifest:
    found: Manifest = deployment["spec"]["template"]["spec"]
    return found


def container(deployment: Manifest) -> Manifest:
    (found,) = pod(deployment)["containers"]
    return dict(found)


def environment(deployment: Manifest) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in container(deployment)["env"]}


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_the_manifests_follow_the_schemas_of_kubernetes(everything: list[Manifest], version: str) -> None:
    checked = [manifest for manifest in everything if manifest["kind"] not in CUSTOM_KINDS]

    assert {manifest["kind"] for manifest in checked} == {"Deployment", "Service", "PodDisruptionBudget"}
    for manifest in checked:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_find_a_misspelling(everything: list[Manifest]) -> None:
    (deployment, *_) = workers(everything).values()
    misspelt = {**deployment, "spec": {**deployment["spec"], "replica": 2}}

    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(misspelt, "1.37", strict=True)


def test_every_file_is_part_of_a_kustomization() -> None:
    for directory in {path.parent for path in KUBERNETES.glob("*/*.yaml")}:
        made_of = kustomization(directory)
        named = {*made_of.get("resources", []), *(patch["path"] for patch in made_of.get("patches", []))}
        files = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml"}

        assert {name for name in named if name.endswith(".yaml")} == files, directory
        assert all((directory / name).exists() for name in [*named, *made_of.get("components", [])])


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("name", ["base", "example"])
def test_kustomize_builds_the_same(name: str) -> None:
    made_of = kustomization(KUBERNETES / name)
    components = tuple(Path(component).name for component in made_of.get("components", []))

    done = subprocess.run(["kubectl", "kustomize", KUBERNETES / name], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    theirs = {(found["kind"], found["metadata"]["name"]): found for found in YAML(typ="safe").load_all(done.stdout)}
    ours = {(found["kind"], found["metadata"]["name"]): found for found in build(KUBERNETES / name, components)}
    for found in theirs.values():
        if "namespace" in made_of:
            assert found["metadata"].pop("namespace") == made_of["namespace"]
    assert theirs == ours


def test_there_is_a_worker_for_each_bundled_model(everything: list[Manifest]) -> None:
    served = [environment(deployment)["CELERIAC_MODELS"] for deployment in workers(everything).values()]

    assert sorted(served) == sorted(path.name for path in BUNDLED_DIRECTORY.iterdir() if path.is_dir())


def test_every_setting_in_the_manifests_exists(everything: list[Manifest]) -> None:
    named = {name for deployment in of_kind(everything, "Deployment").values() for name in environment(deployment)}

    assert {name for name in named if name.startswith("CELERIAC_")} <= SETTINGS
    # What Kubernetes sets for its Services begins with their names, and is read as settings.
    assert all(
        pod(deployment)["enableServiceLinks"] is False for deployment in of_kind(everything, "Deployment").values()
    )


def test_the_settings_in_the_manifests_are_accepted(
    everything: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for deployment in workers(everything).values():
        for name, value in environment(deployment).items():
            if value is not None:
                monkeypatch.setenv(name, value)
        Settings()


def test_a_worker_has_whole_cores_of_its_own(everything: list[Manifest]) -> None:
    for deployment in workers(everything).values():
        resources = container(deployment)["resources"]

        assert resources["requests"] == resources["limits"]
        assert set(resources["limits"]) >= {"cpu", "memory"}
        assert re.fullmatch(r"[1-9]\d*", resources["limits"]["cpu"])
        # A container more, or one that runs first, would have to be like that too.
        assert "initContainers" not in pod(deployment)


def test_a_worker_has_time_to_finish_what_its_processes_have(everything: list[Manifest]) -> None:
    most_batches = 2
    for deployment in workers(everything).values():
        grace_s = pod(deployment)["terminationGracePeriodSeconds"]

        assert grace_s > most_batches * Settings().time.hard_limit_s
        assert grace_s > Settings().time.shutdown_s


def test_probes_ask_what_a_worker_answers(everything: list[Manifest]) -> None:
    for deployment in workers(everything).values():
        found = container(deployment)
        (port,) = found["ports"]

        assert port == {"name": "metrics", "containerPort": METRICS_PORT}
        assert environment(deployment)["CELERIAC_METRICS_PORT"] == str(METRICS_PORT)
        assert environment(deployment)["CELERIAC_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - in a container
        probes = {name: found[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
        assert {probe["httpGet"]["port"] for probe in probes.values()} == {port["name"]}
        assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
            "startup": "/healthz",
            "liveness": "/healthz",
            "readiness": "/readyz",
        }
        start_s = probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"]
        assert start_s > Settings().time.process_start_s


def test_nothing_runs_with_rights_that_it_does_not_need(everything: list[Manifest]) -> None:
    user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert user
    for deployment in of_kind(everything, "Deployment").values():
        assert pod(deployment)["securityContext"]["runAsNonRoot"] is True
        assert pod(deployment)["securityContext"]["runAsUser"] == int(user[1])
        assert pod(deployment)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod(deployment)["automountServiceAccountToken"] is False
        assert container(deployment)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_what_is_written_is_on_a_volume(everything: list[Manifest]) -> None:
    for deployment in of_kind(everything, "Deployment").values():
        mounted = {mount["mountPath"]: mount["name"] for mount in container(deployment)["volumeMounts"]}

        assert "/tmp" in mounted  # noqa: S108 - in a container
        assert environment(deployment).get("CELERIAC_CORES_LEASE_DIR", "/tmp") in mounted  # noqa: S108
        assert sorted(mounted.values()) == sorted(volume["name"] for volume in pod(deployment)["volumes"])
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod(deployment)["volumes"])


def test_selectors_find_the_pods_of_one_deployment(everything: list[Manifest]) -> None:
    deployments = of_kind(everything, "Deployment")
    labels = {name: found["spec"]["template"]["metadata"]["labels"] for name, found in deployments.items()}
    selectors = {
        (manifest["kind"], manifest["metadata"]["name"]): manifest["spec"]["selector"]
        for manifest in everything
        if manifest["kind"] in {"Deployment", "Service", "PodDisruptionBudget"}
    }

    for (_, name), selector in selectors.items():
        wanted = selector.get("matchLabels", selector)
        assert [found for found, have in labels.items() if wanted.items() <= have.items()] == [name]
    for name in workers(everything):
        assert {kind for kind, selected in selectors if selected == name} == {
            "Deployment",
            "Service",
            "PodDisruptionBudget",
        }
        (spread,) = pod(deployments[name])["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"].items() <= labels[name].items()


def test_services_lead_to_ports_that_exist(everything: list[Manifest]) -> None:
    for name, service in of_kind(everything, "Service").items():
        ports = {port["name"] for port in container(of_kind(everything, "Deployment")[name])["ports"]}

        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    (monitor,) = of_kind(everything, "PodMonitor").values()
    for deployment in workers(everything).values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert {port["name"] for port in container(deployment)["ports"]} == {
            endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]
        }


def test_each_worker_has_a_node_name_of_its_own(everything: list[Manifest]) -> None:
    for deployment in workers(everything).values():
        (name,) = [part for part in container(deployment)["command"] if part.startswith("--hostname=")]
        sources = {variable["name"]: variable.get("valueFrom") for variable in container(deployment)["env"]}

        assert name == "--hostname=celery@$(POD_NAME)"
        assert sources["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_every_command_exists(everything: list[Manifest]) -> None:
    scripts = Path(sys.executable).parent
    commands = {tuple(container(deployment)["command"]) for deployment in of_kind(everything, "Deployment").values()}

    for program, *arguments in commands:
        known = subprocess.run(
            [scripts / program, *arguments[:3], "--help"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert known.returncode == 0, known.stderr
        options = {argument.partition("=")[0] for argument in arguments[3:]}
        if arguments[2] == "worker":  # Flower lists its own only with others' variables set
            assert all(option in known.stdout for option in options)


def test_the_image_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    images = [
        container(found)["image"] for found in of_kind(build(KUBERNETES / "base", ("flower",)), "Deployment").values()
    ]

    assert set(images) == {f"celeriac:{version}"}
    assert kustomization(KUBERNETES / "example")["images"] == [{"name": "celeriac", "newTag": version}]


def test_each_deployment_follows_what_its_own_service_says(everything: list[Manifest]) -> None:
    scaled = of_kind(everything, "ScaledObject")
    namespace = kustomization(KUBERNETES / "example")["namespace"]

    assert set(scaled) == set(workers(everything))
    for name, manifest in scaled.items():
        spec = manifest["spec"]
        assert manifest["apiVersion"] == "keda.sh/v1alpha1"
        assert spec["scaleTargetRef"] == {"name": name}
        (trigger,) = spec["triggers"]
        # Only with an average is it divided by the number of pods, and only then is there a fallback.
        assert (trigger["type"], trigger["metricType"]) == ("metrics-api", "AverageValue")
        metadata = trigger["metadata"]
        assert all(isinstance(value, str) for value in metadata.values())
        assert set(metadata) == {"url", "valueLocation", "targetValue", "activationTargetValue"}
        assert metadata["valueLocation"] in SCALE_FIELDS
        assert metadata["targetValue"] == "1"
        url = urlsplit(metadata["url"])
        service = of_kind(everything, "Service")[name]
        assert url.hostname == f"{name}.{namespace}.svc"
        assert (url.scheme, url.path) == ("http", "/scale")
        assert url.port in {port["port"] for port in service["spec"]["ports"]}


def test_scaling_has_bounds_and_a_way_out(everything: list[Manifest]) -> None:
    for manifest in of_kind(everything, "ScaledObject").values():
        spec = manifest["spec"]
        assert 1 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
        assert spec["fallback"]["failureThreshold"] >= 1
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        # Kubernetes knows the HPA's own part of it.
        kubernetes_validate.validate(_horizontal(manifest, behaviour), "1.37", strict=True)
        assert behaviour["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert behaviour["scaleDown"]["stabilizationWindowSeconds"] > Settings().scale.cooldown_s


def _horizontal(manifest: Manifest, behaviour: Manifest) -> Manifest:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": manifest["metadata"]["name"]},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", **manifest["spec"]["scaleTargetRef"]},
            "maxReplicas": manifest["spec"]["maxReplicaCount"],
            "behavior": behaviour,
        },
    }


def test_deployments_that_are_scaled_do_not_say_how_many(everything: list[Manifest]) -> None:
    assert all("replicas" not in deployment["spec"] for deployment in workers(everything).values())


def test_a_lone_worker_can_be_evicted(everything: list[Manifest]) -> None:
    for budget in of_kind(everything, "PodDisruptionBudget").values():
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["maxUnavailable"] not in {0, "0%"}


def test_one_per_node_keeps_all_workers_apart(everything: list[Manifest]) -> None:
    for deployment in workers(everything).values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        (rule,) = pod(deployment)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

        assert rule["topologyKey"] == "kubernetes.io/hostname"
        assert rule["labelSelector"]["matchLabels"].items() <= labels.items()
        assert "app.kubernetes.io/instance" not in rule["labelSelector"]["matchLabels"]


def test_the_readme_names_what_there_is() -> None:
    text = (KUBERNETES / "README.md").read_text(encoding="utf-8")

    for name in ("base", "example", *COMPONENTS):
        assert f"`{name}/`" in text
    secrets = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for manifest in documents(KUBERNETES / "base" / "worker.yaml")
        + documents(KUBERNETES / "flower" / "flower.yaml")
        if manifest["kind"] == "Deployment"
        for variable in container(manifest)["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert all(key in text for key in secrets)
