"""Draw the passwords of a team's server into infra/secrets/, for compose.yaml and for Kubernetes alike.

`python3 infra/make_secrets.py`. Only its owner may read the folder; one that is there stays. The hosts are
the services' names, which compose.yaml and infra/kube share. Needs only Python's own library.
"""

import json
import os
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"


def drawn() -> dict[str, str]:
    """The content of each file."""
    database, admin, key, secret = (secrets.token_hex(24) for _ in range(4))
    store = f"postgresql+psycopg2://mlflow:{database}@postgres:5432/mlflow"
    s3 = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": "http://objects:8333",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    identity = {
        "name": "mien",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    server = s3 | {
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(24),
    }
    clients = s3 | {
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": admin,
    }
    backup = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts"}
    accounts = (
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {store}\nadmin_username = admin\n"
    )
    return {
        "postgres_password": database,
        "objects.json": json.dumps({"identities": [identity]}),
        "ray_token": secrets.token_hex(32),
        "mlflow_accounts.ini": accounts
        + "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
        "mlflow.env": as_lines(server),
        "clients.env": as_lines(clients),
        "backup.env": as_lines(backup),
    }


def as_lines(environment: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in environment.items())


def main(folder: Path) -> None:
    if folder.exists():
        sys.exit(
            f"error: {folder} is there already; remove it to draw new secrets, and with it the old database."
        )
    scratch = folder.with_name(f".{folder.name}.part")
    scratch.mkdir(mode=0o700)
    for name, content in drawn().items():
        # containers read them as users of their own; the folder around them is closed
        with os.fdopen(os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            file.write(content)
    scratch.rename(folder)
    print(f"drawn into {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
