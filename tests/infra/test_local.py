"""The local cluster for real: PostgreSQL, S3, MLflow and three Ray nodes, what a stranger gets, and a back-up."""

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import psycopg2
import pytest
from dvc.repo import Repo
from infra.local.cluster import down, read_environment, state_folder, up
from infra.local.processes import Processes, free_ports
from infra.local.servers import postgres_programs
from mlflow import MlflowClient

from mien.cli.backup import backup, restore
from mien.config import MienError

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]
LED = ("MLFLOW_", "AWS_", "RAY_", "MIEN_")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    try:
        postgres_programs()
    except MienError as error:
        pytest.skip(str(error))
    base = Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))  # short: sockets lie in it
    yield base / "c"
    down(base / "c")
    base.rmdir()


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a client; this process has it, too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(LED)]:
            patch.delenv(name)
        for name, value in up(folder).items():
            patch.setenv(name, value)
        yield read_environment(folder)


def status(
    url: str, data: bytes | None = None, method: str | None = None, patience: float = 20, **headers: str
) -> int:
    asked = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=patience) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def basic(cluster: dict[str, str]) -> str:
    pair = f"{cluster['MLFLOW_TRACKING_USERNAME']}:{cluster['MLFLOW_TRACKING_PASSWORD']}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_three_nodes_and_the_servers_run_and_a_second_up_finds_them(
    cluster: dict[str, str], folder: Path
) -> None:
    alive = Processes(folder).alive()
    assert list(alive) == ["postgres", "objects", "mlflow", "ray-0", "ray-1", "ray-2"]
    assert up(folder) == cluster
    assert Processes(folder).alive() == alive


def test_secrets_are_the_owners_alone(cluster: dict[str, str], folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    secrets = {cluster["MLFLOW_TRACKING_PASSWORD"], (folder / "ray-token").read_text()}
    for name, process in Processes(folder).alive().items():
        for one in [process, *process.children(recursive=True)]:
            words = " ".join(one.cmdline())  # which everybody on the machine may read
            assert not [secret for secret in secrets if secret in words], name
            assert cluster["MLFLOW_BACKEND_STORE_URI"] not in words, name


def test_servers_listen_on_the_loopback_only(cluster: dict[str, str], folder: Path) -> None:
    for name in ("postgres", "objects", "mlflow"):
        process = Processes(folder).alive()[name]
        for one in [process, *process.children(recursive=True)]:
            for connection in one.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    assert connection.laddr.ip == "127.0.0.1", name


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer " + "0" * 48}])
def test_a_stranger_gets_nothing_from_rays_job_api(cluster: dict[str, str], headers: dict[str, str]) -> None:
    api = cluster["RAY_API_SERVER_ADDRESS"]
    job = json.dumps({"entrypoint": "touch /tmp/mien-stranger"}).encode()
    for path in (
        "/api/jobs/",
        "/api/version",
        "/nodes?view=summary",
        "/api/v0/actors",
        "/api/cluster_status",
    ):
        assert status(f"{api}{path}", **headers) in (401, 403), path
    posted = status(f"{api}/api/jobs/", job, "POST", **{"Content-Type": "application/json"}, **headers)
    assert posted in (401, 403)
    assert not Path("/tmp/mien-stranger").exists()


def test_no_port_of_a_ray_node_tells_a_stranger_anything(cluster: dict[str, str], folder: Path) -> None:
    asked = 0
    for name, process in Processes(folder).alive().items():
        if not name.startswith("ray-"):
            continue
        ports = {
            (connection.laddr.ip, connection.laddr.port)
            for one in process.children(recursive=True)
            for connection in one.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        for host, port in ports:
            reached = "127.0.0.2" if host in ("0.0.0.0", "::") else host.removeprefix("::ffff:")
            for path in ("/metrics", "/nodes?view=summary", "/api/jobs/", "/api/job_agent/jobs/"):
                asked += 1
                with contextlib.suppress(OSError, http.client.HTTPException):  # gRPC, or nothing said
                    assert status(f"http://{reached}:{port}{path}", patience=3) != 200, (
                        f"{name} {port} {path}"
                    )
    assert asked > 20


def test_a_stranger_cannot_join_ray(cluster: dict[str, str]) -> None:
    code = f"import ray; ray.init({cluster['MIEN_RAY_ADDRESS']!r}); print('inside')"
    stranger = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MIEN_"))}
    stranger |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 48}
    done = subprocess.run(
        [sys.executable, "-c", code], env=stranger, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "inside" not in done.stdout


@pytest.mark.parametrize("known", [None, "wrong"])
def test_a_stranger_gets_nothing_from_mlflow(cluster: dict[str, str], known: str | None) -> None:
    uri = cluster["MLFLOW_TRACKING_URI"]
    headers = {"Authorization": f"Basic {base64.b64encode(b'admin:wrong').decode()}"} if known else {}
    search = json.dumps({"max_results": 10}).encode()
    asked = [
        ("/", None, None),
        ("/api/2.0/mlflow/experiments/search", search, "POST"),
        ("/ajax-api/2.0/mlflow/experiments/search", search, "POST"),
        ("/api/2.0/mlflow/experiments/create", json.dumps({"name": "stranger"}).encode(), "POST"),
        ("/api/2.0/mlflow/registered-models/search", None, "GET"),
        ("/api/2.0/mlflow-artifacts/artifacts?path=", None, "GET"),
        ("/api/2.0/mlflow-artifacts/artifacts/stranger.txt", b"x", "PUT"),
        ("/get-artifact?run_uuid=x&path=y", None, "GET"),
        (
            "/api/2.0/mlflow/users/create",
            json.dumps({"username": "s", "password": "s" * 12}).encode(),
            "POST",
        ),
        ("/graphql", b"{}", "POST"),
        ("/signup", None, "GET"),
    ]
    for path, data, method in asked:
        kind = {"Content-Type": "application/json"} if data else {}
        assert status(f"{uri}{path}", data, method, **kind, **headers) in (401, 403), path


def test_another_sites_page_gets_nothing_from_mlflow(cluster: dict[str, str]) -> None:
    search = f"{cluster['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    mine = {"Authorization": basic(cluster), "Content-Type": "application/json"}
    body = json.dumps({"max_results": 1}).encode()
    assert status(search, body, "POST", **mine) == 200
    assert status(search, body, "POST", **mine, Host="evil.example") == 403
    assert status(search, body, "POST", **mine, Origin="http://evil.example") == 403


def test_artifact_paths_cannot_leave_their_root(cluster: dict[str, str]) -> None:
    base = f"{cluster['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts"
    mine = {"Authorization": basic(cluster)}
    up_and_out = [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%252e%252e%252fetc%252fpasswd",
        "a/../../../etc/passwd",
        "%2fetc%2fpasswd",
        "file:%2f%2f%2fetc%2fpasswd",
        "%00..%2fetc",
    ]
    for path in up_and_out:
        for method, data in (("GET", None), ("PUT", b"x"), ("DELETE", None)):
            # refused, sent to a path below the root (two slashes made one), or not found (500 from S3): no answer
            assert status(f"{base}/{path}", data, method, **mine) >= 300, f"{method} {path}"
    for path in ("../..", "..%2f..", "/etc", "%252e%252e"):
        assert 400 <= status(f"{base}?path={path}", None, "GET", **mine) < 500, path
    assert status(f"{base}/in/its/root.txt", b"x", "PUT", **mine) == 200
    store = boto3.client("s3")  # by the environment
    keys = [one["Key"] for one in store.list_objects_v2(Bucket="mlflow").get("Contents", [])]
    assert "artifacts/in/its/root.txt" in keys
    assert not [key for key in keys if not key.startswith("artifacts/") or "passwd" in key]


def test_a_server_comes_back_from_a_backup(cluster: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    with Repo.init(str(tmp_path), no_scm=True):
        pass
    client = MlflowClient(cluster["MLFLOW_TRACKING_URI"])  # another test's process-wide address may stand
    experiment = client.create_experiment("kept")
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "accuracy", 0.75)
    client.log_text(run.info.run_id, "neutral", "prediction.txt")
    held = backup(tmp_path, tmp_path / "saved")
    assert held.database == "database.pgdump"
    assert held.objects is None

    with pytest.raises(MienError, match="tables already"):  # the server's own, which is in use
        restore(tmp_path, tmp_path / "saved")
    old = cluster["MLFLOW_BACKEND_STORE_URI"]
    connection = psycopg2.connect(old.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE second")
    connection.close()
    second = old.rpartition("/")[0] + "/second"
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", second)
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", "s3://mien/second")
    restore(tmp_path, tmp_path / "saved")

    connection = psycopg2.connect(second.replace("+psycopg2", ""))
    cursor = connection.cursor()
    cursor.execute("SELECT value FROM metrics WHERE run_uuid = %s", (run.info.run_id,))
    assert cursor.fetchall() == [(0.75,)]
    cursor.execute("SELECT username FROM users")  # accounts come back with the runs
    assert cursor.fetchall() == [("admin",)]
    connection.close()
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", "s3://mien/second")
    backup(tmp_path, tmp_path / "third")
    (file,) = (tmp_path / "third" / "artifacts").rglob("prediction.txt")
    assert file.read_text() == "neutral"


def test_down_leaves_no_process_and_no_file(cluster: dict[str, str], folder: Path) -> None:
    processes = Processes(folder)
    mine = [one for p in processes.alive().values() for one in [p, *p.children(recursive=True)]]
    assert len(mine) > 10
    scratch = processes.scratch()
    assert down(folder) == ["postgres", "objects", "mlflow", "ray-0", "ray-1", "ray-2"]
    _, left = psutil.wait_procs(mine, timeout=10)
    assert not left
    assert not folder.exists()
    assert not [path for path in scratch if path.exists()]
    assert down(folder) == []


def test_folders_of_two_checkouts_differ(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "a") != state_folder(tmp_path / "b")


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
