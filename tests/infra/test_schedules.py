"""Four schedules, one command."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mien.cli.retrain import Outcome
from tests.infra.manifests import ROOT, base, pods

SCHEDULES = ROOT / "infra" / "schedules"
SCRIPT = SCHEDULES / "retrain.sh"


def test_all_call_the_same_command() -> None:
    (cron,) = (pod for pod in pods(base()) if pod.name == "CronJob/retrain")
    workflow = yaml.safe_load((SCHEDULES / "github-retrain.yaml").read_text())
    called = [
        " ".join(cron.spec["containers"][0]["command"]),
        yaml.safe_load((SCHEDULES / "raycronjob.yaml").read_text())["spec"]["jobTemplate"]["entrypoint"],
        workflow["jobs"]["retrain"]["steps"][-1]["run"],
    ]
    for command in called:
        assert "infra/schedules/retrain.sh" in command, command
    assert "\nmien retrain\n" in SCRIPT.read_text()
    service = (SCHEDULES / "mien-retrain.service").read_text()
    assert "\nExecStart=%h/mien/.venv/bin/mien retrain\n" in service


def test_only_failures_are_failures_to_a_scheduler(tmp_path: Path) -> None:
    command = tmp_path / "mien"
    good = {int(outcome) for outcome in Outcome}
    for code in (*good, 1, 2, 127, 130, 137):
        command.write_text(f"#!/bin/sh\nexit {code}\n")
        command.chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", SCRIPT, tmp_path], env={"PATH": str(tmp_path)}, check=False, timeout=20
        )
        assert done.returncode == (0 if code in good else code)
    service = (SCHEDULES / "mien-retrain.service").read_text()
    told = re.findall(r"^SuccessExitStatus=(.*)$", service, re.MULTILINE)[0].split()
    assert {int(code) for code in told} | {0} == good


def test_all_run_at_the_same_hour() -> None:
    (cron,) = (one for one in base() if one["kind"] == "CronJob" and one["metadata"]["name"] == "retrain")
    ray = yaml.safe_load((SCHEDULES / "raycronjob.yaml").read_text())["spec"]
    workflow = yaml.safe_load((SCHEDULES / "github-retrain.yaml").read_text())
    # YAML 1.1 reads the key `on` as true
    assert workflow[True]["schedule"] == [{"cron": "17 2 * * *"}]
    assert cron["spec"]["schedule"] == ray["schedule"] == "17 2 * * *"
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert "OnCalendar=*-*-* 02:17:00" in (SCHEDULES / "mien-retrain.timer").read_text()


def test_the_workflow_fits_githubs_schema_and_writes_nothing() -> None:
    path = SCHEDULES / "github-retrain.yaml"
    words = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on the path: the units are not checked")
    for name in ("mien-retrain.service", "mien-retrain.timer"):
        # the command of the unit is in a home that is not here
        text = re.sub(
            r"^ExecStart=\S+", "ExecStart=/bin/true", (SCHEDULES / name).read_text(), flags=re.MULTILINE
        )
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no"]
        + [str(tmp_path / name) for name in ("mien-retrain.service", "mien-retrain.timer")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "Unknown key" not in done.stderr
