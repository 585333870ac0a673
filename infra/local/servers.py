"""PostgreSQL, an S3 server, and MLflow that keeps runs in the one and artifacts in the other; on loopback.

The S3 server is moto's: it keeps its objects in memory and asks for no key, which is enough to try what
speaks S3 and for nothing else. PostgreSQL asks for its password, MLflow for a name and a password.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import boto3
from infra.local.processes import Processes, free_ports, new_secret, write_private

from mien.config import MienError

HOST = "127.0.0.1"
DATABASE = ROLE = "mlflow"
BUCKETS = ("mlflow", "mien")
ADMIN = "admin"


def start_postgres(processes: Processes) -> str:
    """Make a database of its own and serve it; returns its URI. MienError: PostgreSQL is absent."""
    programs = postgres_programs()
    user = _unprivileged()
    data = Path(tempfile.mkdtemp(prefix="mien-pg-"))
    processes.keep_scratch(data)
    password = new_secret()
    secret = data / "password"
    write_private(secret, password)
    if user:  # PostgreSQL refuses to run as root
        for path in (data, secret):
            shutil.chown(path, user, user)
    made = subprocess.run(
        [
            *(programs / "initdb", "-D", data / "db", "-U", ROLE, f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
        ],
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise MienError(f"initdb failed ({made.stderr.strip().splitlines()[-1]}); see {data}.")
    secret.unlink()
    (port,) = free_ports(1)
    words = [str(programs / "postgres"), "-D", str(data / "db"), "-h", HOST, "-p", str(port)]
    words += ["-c", "unix_socket_directories="]  # by the password over loopback, or not at all
    process = processes.start("postgres", words, _bare_environment(), user, stop=signal.SIGINT)
    processes.wait_for("postgres", process, lambda: _listens(port))
    _create_database(port, password)
    return f"postgresql+psycopg2://{ROLE}:{password}@{HOST}:{port}/{DATABASE}"


def postgres_programs() -> Path:
    """The folder of the newest PostgreSQL server here. MienError: there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[4]))
    on_path = shutil.which("postgres")
    if not debian and on_path is None:
        raise MienError("PostgreSQL's server is not installed; on Debian: apt-get install postgresql.")
    return (debian[-1] if debian else Path(str(on_path)).resolve()).parent


def start_objects(processes: Processes) -> dict[str, str]:
    """Serve S3 from memory and make the buckets; returns the environment that S3 clients need."""
    (port,) = free_ports(1)
    words = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    process = processes.start("objects", words, _bare_environment())
    processes.wait_for("objects", process, lambda: _listens(port))
    environment = {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": new_secret(),
        "AWS_SECRET_ACCESS_KEY": new_secret(),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    for bucket in BUCKETS:
        client.create_bucket(Bucket=bucket)
    return environment


def start_mlflow(processes: Processes, database: str, s3: Mapping[str, str]) -> dict[str, str]:
    """Serve MLflow before database and bucket; returns the environment that MLflow's clients need."""
    (port,) = free_ports(1)
    password = new_secret()
    accounts = processes.folder / "mlflow-accounts.ini"
    # who has no account has no permission, and accounts live in the same database as the runs
    write_private(
        accounts,
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = {database}\nadmin_username = {ADMIN}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
    )
    destination = f"s3://{BUCKETS[0]}/artifacts"
    environment = _bare_environment() | {
        **s3,
        "MLFLOW_BACKEND_STORE_URI": database,  # not on the command line, which everybody may read
        "MLFLOW_ARTIFACTS_DESTINATION": destination,
        "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": new_secret(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    words = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    words += ["--host", HOST, "--port", str(port), "--workers", "1"]
    process = processes.start("mlflow", words, environment)
    processes.wait_for("mlflow", process, lambda: answers(f"http://{HOST}:{port}/health"))
    return {
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{port}",
        "MLFLOW_TRACKING_USERNAME": ADMIN,
        "MLFLOW_TRACKING_PASSWORD": password,
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": destination,
    }


def answers(url: str, token: str | None = None) -> bool:
    """Whether a GET is answered with success."""
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _create_database(port: int, password: str) -> None:
    import psycopg2

    with psycopg2.connect(
        host=HOST, port=port, user=ROLE, password=password, dbname="postgres"
    ) as connection:
        pass  # answers before the next line, which must not run inside a transaction
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
    connection.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _unprivileged() -> str | None:
    """Whom PostgreSQL runs as: this user, or Debian's `postgres` where this is root."""
    return "postgres" if os.geteuid() == 0 else None


def _bare_environment() -> dict[str, str]:
    """This environment without what would lead a server to other servers or slow its start."""
    led = ("MLFLOW_", "AWS_", "PG", "RAY_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(led) and name != "PYTHONDONTWRITEBYTECODE"
    }
