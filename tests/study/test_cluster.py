"""Clusters: the packed store on every node, workers that follow, several hosts."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from refinevad.data import open_store, prepare
from study.backend.store_on_node import CACHE, RemoteStore, offer
from study.config.load import load_study
from tests.support import hosts
from tests.support.workspace import Workspace, wait_for_results


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[list[str]]:
    """Two nodes, each with a cache of its own; their ids."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=2, env_vars={CACHE: str(tmp_path / "a")})
        cluster.add_node(num_cpus=2, env_vars={CACHE: str(tmp_path / "b")})
        packages = [str(Path(__file__).parents[2] / name) for name in ("refinevad", "study")]
        ray.init(address=cluster.address, runtime_env={"py_modules": packages})
        yield [n["NodeID"] for n in ray.nodes() if n["Resources"].get("CPU") == 2]
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_node_that_does_not_see_the_store_fetches_it_once(
    workspace: Workspace, two_nodes: list[str], tmp_path: Path
) -> None:
    store = prepare(load_study(workspace.space).data, workspace.stores)
    elsewhere = replace(offer(store), path=Path("/nowhere"))

    @ray.remote(num_cpus=1)
    def opened(remote_store: RemoteStore) -> tuple[str, int, float]:
        found = remote_store.open()
        found.verify()
        assert found.fingerprint == remote_store.fingerprint
        folder = found.path / "header.json"
        return str(found.path), folder.stat().st_ino, float(found.train.features.sum())

    def on(node: str) -> list[ray.ObjectRef[tuple[str, int, float]]]:
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        return [opened.options(scheduling_strategy=here).remote(elsewhere) for _ in range(3)]

    asked = [on(node) for node in two_nodes]
    first, second = (set(ray.get(refs)) for refs in asked)
    assert len(first) == len(second) == 1  # one folder, made once
    paths = {path for path, _, _ in first | second}
    assert {str(Path(path).parent) for path in paths} == {str(tmp_path / c) for c in "ab"}
    assert {total for _, _, total in first | second} == {float(store.train.features.sum())}
    assert [p.name for p in (tmp_path / "a").iterdir() if not p.name.endswith(".lock")] == [
        store.fingerprint[:32]
    ]


def test_a_node_that_sees_the_store_maps_it_where_it_lies(
    workspace: Workspace, two_nodes: list[str], tmp_path: Path
) -> None:
    store = prepare(load_study(workspace.space).data, workspace.stores)
    remote_store = offer(store)

    @ray.remote(num_cpus=1)
    def opened(remote_store: RemoteStore) -> str:
        return str(remote_store.open().path)

    assert ray.get(opened.remote(remote_store)) == str(store.path.resolve())
    assert not (tmp_path / "a").exists()


def test_a_damaged_copy_is_fetched_again(
    workspace: Workspace, two_nodes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepare(load_study(workspace.space).data, workspace.stores)
    monkeypatch.setenv(CACHE, str(tmp_path / "here"))
    elsewhere = replace(offer(store), path=Path("/nowhere"))
    copy = elsewhere.open().path
    (copy / "train_features.npy").write_bytes(b"")
    elsewhere.open().verify()
    content = bytearray((copy / "train_features.npy").read_bytes())
    content[-1] ^= 1  # of the right size
    (copy / "train_features.npy").write_bytes(content)
    elsewhere.open().verify()
    shutil.rmtree(copy)
    copy.with_name(f".{copy.name}.part").mkdir()  # of a process that died half-way
    elsewhere.open().verify()


def test_a_store_that_changed_on_the_way_is_refused(
    workspace: Workspace, two_nodes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepare(load_study(workspace.space).data, workspace.stores)
    monkeypatch.setenv(CACHE, str(tmp_path / "here"))
    damaged = tmp_path / "damaged"
    shutil.copytree(store.path, damaged)
    content = bytearray((damaged / "train_features.npy").read_bytes())
    content[-1] ^= 1
    (damaged / "train_features.npy").write_bytes(content)
    assert open_store(damaged).fingerprint == store.fingerprint  # the header tells nothing
    elsewhere = replace(offer(open_store(damaged)), path=Path("/nowhere"))
    with pytest.raises(Exception, match=r"train_features.npy has changed"):
        elsewhere.open()
    assert not (tmp_path / "here" / store.fingerprint[:32]).exists()


@pytest.mark.slow
@pytest.mark.skipif(not hosts.possible(), reason="needs root and network namespaces")
def test_three_hosts_that_share_no_disk_and_one_unplugged(
    workspace: Workspace, undisturbed: Sequence[str], tmp_path: Path
) -> None:
    short = Path(tempfile.mkdtemp(prefix="h"))  # Ray's sockets want short paths
    environment = workspace.environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="t" * 32)
    try:
        with hosts.Hosts(short, hidden=[workspace.stores, tmp_path]) as three:
            for _ in range(3):
                host = three.add()
                cpus = 0 if host == 0 else 2
                own = environment | {CACHE: str(short / f"cache{host}"), "PYTHONPATH": ""}
                three.start_ray(host, cpus=cpus, environment=own)
                if host == 0:
                    three.wait_for_nodes(1, environment)
            three.wait_for_nodes(3, environment)
            driver = subprocess.Popen(
                three.command(
                    0, *workspace.command("--address", three.head, "--tracking-uri", "none")
                ),
                cwd=workspace.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            wait_for_results(workspace, 4)
            three.unplug(2)
            output, _ = driver.communicate(timeout=280)
            assert f"digest {undisturbed[0]}" in output
            assert "lost an attempt" in output
            caches = sorted(p.name for p in short.glob("cache*"))
            assert caches == ["cache1", "cache2"]  # each fetched its own
    finally:
        shutil.rmtree(short, ignore_errors=True)
