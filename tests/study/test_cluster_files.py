"""The files of cluster/ are what Ray and Kubernetes read, and name versions and flags we have.

No cloud and no Kubernetes is at hand here: what is checked is what can be known without.
"""

from __future__ import annotations

import copy
import re
import shlex
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from study.run import parser
from tests.support.workspace import REPOSITORY

CLUSTER = REPOSITORY / "cluster"
LAUNCHERS = ("ray-cluster.yaml", "ray-local.yaml")


def pinned(package: str) -> str:
    """The version that is tested."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    (version,) = (line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))
    return version


def launcher(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text())
    return content


def manifest() -> tuple[dict[str, Any], dict[str, Any]]:
    """The volume and the job."""
    volume, job = yaml.safe_load_all((CLUSTER / "rayjob.yaml").read_text())
    return volume, job


def pods() -> list[dict[str, Any]]:
    """Head first."""
    cluster = manifest()[1]["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def commands() -> list[str]:
    """Every `study.run` that the files tell anybody to type, or type themselves."""
    found = []
    for path in CLUSTER.glob("*.yaml"):
        text = path.read_text().replace("\n    --", " --")
        found += re.findall(r"python -m study\.run ([^'\n]+)", text)
    return found


@pytest.mark.parametrize("name", LAUNCHERS)
def test_rays_own_launcher_accepts_the_files(name: str) -> None:
    config = prepare_config(copy.deepcopy(launcher(name)))
    validate_config(config)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_rays_own_launcher_would_refuse_a_mistake(name: str) -> None:
    config = prepare_config(launcher(name) | {"max_wrokers": 3})
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(config)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_nodes_install_what_is_tested_and_want_a_token(name: str) -> None:
    config = launcher(name)
    setup = "\n".join(config["setup_commands"])
    assert "pip install --quiet -r ~/refinevad/requirements.lock" in setup
    assert "RAY_AUTH_MODE=token" in setup
    assert "chmod 600 ~/.ray/auth_token" in setup
    assert config["file_mounts"]["~/refinevad"] == "."
    assert "runs/" in config["rsync_exclude"]  # a later `ray up` leaves the ledger alone


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_dashboard_is_not_served_to_others(name: str) -> None:
    (start,) = (c for c in launcher(name)["head_start_ray_commands"] if "--head" in c)
    assert "--dashboard-host=127.0.0.1" in start


def test_every_command_names_flags_and_files_there_are() -> None:
    assert len(commands()) == 3
    for command in commands():
        args = parser().parse_args(shlex.split(command))
        assert (REPOSITORY / args.space).is_file()
        assert args.address == "auto"


def test_the_job_runs_the_ray_that_is_tested() -> None:
    spec = manifest()[1]["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] == pinned("ray")
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{pinned('ray')}-py311\n" in dockerfile
    sources = re.findall(r"^COPY \S+ (\S+)", dockerfile, re.MULTILINE)
    assert all((REPOSITORY / source).exists() for source in sources)
    images = {container["image"] for pod in pods() for container in pod["containers"]}
    assert len(images) == 1  # one image, one kind of arithmetic
    assert images.pop() in dockerfile


def test_the_ledger_outlives_the_head() -> None:
    volume, job = manifest()
    head, *workers = pods()
    (claim,) = (v["persistentVolumeClaim"]["claimName"] for v in head["volumes"])
    assert claim == volume["metadata"]["name"]
    (mount,) = head["containers"][0]["volumeMounts"]
    args = parser().parse_args(shlex.split(job["spec"]["entrypoint"])[3:])
    assert args.runs.is_relative_to(mount["mountPath"])
    assert args.stores.is_relative_to(mount["mountPath"])
    assert mount["name"] == head["volumes"][0]["name"]
    assert not any("volumes" in worker for worker in workers)  # the store is shipped to them


def test_secrets_stay_out_of_the_manifest() -> None:
    text = (CLUSTER / "rayjob.yaml").read_text()
    assert "--tracking-uri" not in text
    (uri,) = (e for e in pods()[0]["containers"][0]["env"] if e["name"] == "MLFLOW_TRACKING_URI")
    assert "value" not in uri
    assert uri["valueFrom"]["secretKeyRef"]["name"] in text.partition("apiVersion")[0]


def test_the_job_opens_nothing_to_the_outside() -> None:
    spec = manifest()[1]["spec"]["rayClusterSpec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    ports = {p["name"]: p["containerPort"] for p in pods()[0]["containers"][0]["ports"]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265}


def test_pods_ask_for_what_they_may_use_and_trials_for_gpus() -> None:
    """Ray counts a pod's CPUs and GPUs by its limits."""
    head, worker = (pod["containers"][0]["resources"] for pod in pods())
    assert head["requests"] == head["limits"]
    assert worker["requests"] == worker["limits"]
    assert worker["limits"]["nvidia.com/gpu"] == "1"
    spec = manifest()[1]["spec"]["rayClusterSpec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    group = spec["workerGroupSpecs"][0]
    assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_no_path_is_left_out_of_the_documentation() -> None:
    text = (REPOSITORY / "docs" / "cluster.md").read_text()
    for path in sorted(CLUSTER.iterdir()):
        assert f"cluster/{path.name}" in text
