"""compose.yaml: its schema, and what it must never allow."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from infra import make_secrets
from tests.infra.manifests import ROOT

COMPOSE = ROOT / "infra" / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_it_fits_the_compose_specification() -> None:
    words = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ports_are_published_on_the_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    published = {name: one["ports"] for name, one in services.items() if "ports" in one}
    assert set(published) == {"mlflow", "ray-head"}  # which ask for a password and a token
    for name, ports in published.items():
        for port in ports:
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
    assert not [name for name, one in services.items() if one.get("network_mode") == "host"]
    assert "basic-auth" in services["mlflow"]["command"]
    for name in ("ray-head", "ray-worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"


def test_services_are_pinned_bounded_and_closed(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.search(r":\d+\.\d+[\w.-]*$", service["image"]), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"]), name
        # the image of mien has a user of its own (test_image.py)
        assert service["image"].startswith("mien:") or not service["user"].startswith("0"), name
        if service["restart"] == "unless-stopped":
            assert "test" in service["healthcheck"], name


def test_secrets_come_from_files_that_one_command_draws(services: dict[str, dict[str, Any]]) -> None:
    drawn = set(make_secrets.drawn())
    compose = yaml.safe_load(COMPOSE.read_text())
    named = {one["file"].removeprefix("secrets/") for one in compose["secrets"].values()}
    for service in services.values():
        named |= {path.removeprefix("secrets/") for path in service.get("env_file", [])}
    assert named <= drawn
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", variable):
                assert value.startswith("/run/secrets/"), f"{name}: {variable}"


def test_what_is_waited_for_is_there(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed]


def test_secrets_are_drawn_once_and_closed_to_others(tmp_path: Any) -> None:
    folder = tmp_path / "secrets"
    make_secrets.main(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o077 == 0
    assert set(first) == set(make_secrets.drawn())
    assert make_secrets.drawn()["ray_token"] != first["ray_token"]  # drawn, not written down somewhere
    assert first["postgres_password"] in first["mlflow.env"]
    with pytest.raises(SystemExit, match="is there already"):
        make_secrets.main(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
