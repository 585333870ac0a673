import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from mien.cluster.session import ADDRESS, connect, session_folder, watched
from mien.config import MienError
from mien.config.train import Cluster

STAGE = textwrap.dedent(
    """
    import json, os, sys, time
    from pathlib import Path
    from mien.cluster.session import connect, session_folder, watched
    from mien.config.train import Cluster
    with connect(Cluster(object_store_mb=80)):
        import ray
        address = ray.get_runtime_context().gcs_address
        node = ray.get(ray.remote(lambda: os.getpid()).options(num_cpus=1).remote())
        said = {"address": address, "worker": node, "folder": str(session_folder(watched()))}
        Path(sys.argv[1]).write_text(json.dumps(said))
        time.sleep(float(sys.argv[2]))
    """
)


def below(folder: str) -> list[psutil.Process]:
    """Every process that has a session folder in its command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(folder in word for word in process.info["cmdline"] or []):
            found.append(process)
    return found


def gone_within(seconds: float, folder: str) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not below(folder) and not Path(folder).exists():
            return True
        time.sleep(0.2)
    return False


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in (ADDRESS, "RAY_ADDRESS")}


def fake_dvc(tmp_path: Path, stages: int) -> subprocess.Popen[bytes]:
    """A process whose command line is that of `dvc repro`; it runs stages one after another, like DVC."""
    script = tmp_path / "dvc"
    stage = tmp_path / "stage.py"
    stage.write_text(STAGE)
    script.write_text(
        "import subprocess, sys, time\n"
        f"for k in range({stages}):\n"
        f"    out = {str(tmp_path)!r} + f'/{{k}}.json'\n"
        f"    subprocess.run([sys.executable, {str(stage)!r}, out, '0'], check=True)\n"
        "time.sleep(60)\n"
    )
    return subprocess.Popen([sys.executable, str(script), "repro"], env=clean_environment())


def wait_for(path: Path, seconds: float = 60) -> dict[str, str]:
    until = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until, f"{path.name} did not come"
        time.sleep(0.1)
    return dict(json.loads(path.read_text()))


@pytest.mark.slow
def test_stages_of_one_repro_share_a_ray_that_ends_with_it_even_when_killed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = fake_dvc(tmp_path / "a", 2), fake_dvc(tmp_path / "b", 1)
    try:
        first, second = wait_for(tmp_path / "a" / "0.json"), wait_for(tmp_path / "a" / "1.json")
        apart = wait_for(tmp_path / "b" / "0.json")
        assert first["address"] == second["address"]
        assert apart["address"] != first["address"]
        assert len(below(first["folder"])) >= 3  # keeper, GCS, raylet
        one.send_signal(signal.SIGKILL)
        one.wait()
        assert gone_within(15, first["folder"])
        assert not psutil.pid_exists(first["worker"])
        assert below(apart["folder"])  # the other checkout's Ray lives on
    finally:
        one.kill()
        other.kill()
        one.wait()
        other.wait()
    assert gone_within(15, apart["folder"])


@pytest.mark.slow
def test_a_stage_alone_leaves_nothing_behind(tmp_path):
    stage = tmp_path / "stage.py"
    stage.write_text(STAGE)
    subprocess.run(
        [sys.executable, str(stage), str(tmp_path / "out.json"), "0"],
        check=True,
        env=clean_environment(),
        timeout=120,
    )
    out = wait_for(tmp_path / "out.json")
    assert gone_within(15, out["folder"])


def test_watched_is_this_process_without_dvc_above():
    parents = [" ".join(p.cmdline()) for p in psutil.Process().parents()]
    if any("dvc" in words for words in parents):
        pytest.skip("runs under dvc")
    assert watched().pid == os.getpid()


def test_socket_paths_stay_short():
    socket = (
        session_folder(watched()) / "session_2026-11-22_03-36-13_123456_1234567" / "sockets" / "plasma_store"
    )
    assert len(str(socket)) < 107


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_an_address_that_does_not_answer_is_named(monkeypatch, address):
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(MienError, match=f"{address}.*{ADDRESS}"), connect(Cluster()):
        pass
