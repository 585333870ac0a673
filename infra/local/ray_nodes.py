"""A Ray head and two worker nodes as processes on loopback addresses of their own, closed by a token."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from infra.local.processes import Processes, free_ports, new_secret, write_private

from mien.cluster.environment import prepare_environment
from mien.config import MienError

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
"""One a node: nodes that share an address are one machine to Ray Train, and 127.0.0.1 it would replace."""
TOKEN = "ray-token"
OBJECT_STORE_BYTES = 200 << 20


def start_ray(processes: Processes, served: Mapping[str, str]) -> dict[str, str]:
    """Start the nodes and wait until all have joined; returns the environment that Ray's clients need.

    served: the environment of MLflow's and S3's clients, which jobs and workers inherit.
    """
    prepare_environment()
    token, token_path = new_secret(), processes.folder / TOKEN
    write_private(token_path, token)
    gcs, dashboard, client = free_ports(3)
    ours = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_API_SERVER_ADDRESS": f"http://{HOSTS[0]}:{dashboard}",
        "MIEN_RAY_ADDRESS": f"{HOSTS[0]}:{gcs}",
    }
    environment = {**os.environ, **served, **ours, "GLOO_SOCKET_IFNAME": "lo"}
    # a job's `python` is then this one, as it is in the container
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment["RAY_enable_metrics_collection"] = "0"  # else each node tells its figures to everybody
    # no such ports: what dashboard and autoscaler would tell of themselves on all interfaces stays with them
    environment |= {"DASHBOARD_METRIC_PORT": "-1", "AUTOSCALER_METRIC_PORT": "-1"}
    head = ["--head", "--port", str(gcs), "--ray-client-server-port", str(client)]
    head += ["--dashboard-host", HOSTS[0], "--dashboard-port", str(dashboard)]
    head += ["--temp-dir", str(processes.folder / "r"), "--disable-usage-stats"]
    for number, host in enumerate(HOSTS):
        name = f"ray-{number}"
        own = head if number == 0 else ["--address", ours["MIEN_RAY_ADDRESS"]]
        process = processes.start(name, _node(own, host), environment)
        processes.wait_for(
            name, process, lambda n=number: _alive_nodes(ours["RAY_API_SERVER_ADDRESS"], token) > n
        )
    return ours


def _node(own: list[str], host: str) -> list[str]:
    agent, agent_grpc, metrics, runtime = free_ports(4, host)
    cpus = max(1, len(os.sched_getaffinity(0)) // len(HOSTS))
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *own]
    words += ["--node-ip-address", host, "--num-cpus", str(cpus)]
    words += ["--object-store-memory", str(OBJECT_STORE_BYTES)]
    words += ["--dashboard-agent-listen-port", str(agent), "--dashboard-agent-grpc-port", str(agent_grpc)]
    words += ["--metrics-export-port", str(metrics), "--runtime-env-agent-port", str(runtime)]
    return [*words, "--min-worker-port", "0", "--max-worker-port", "0"]


def _alive_nodes(dashboard: str, token: str) -> int:
    """How many nodes the head counts as alive; 0 while it does not answer."""
    asked = urllib.request.Request(
        f"{dashboard}/nodes?view=summary", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            told = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise MienError(f"Ray's head refuses its own token ({error}); stop the cluster.") from error
        return 0
    except (urllib.error.URLError, OSError, ValueError):
        return 0
    nodes = told.get("data", {}).get("summary", [])
    return sum(node.get("raylet", {}).get("state") == "ALIVE" for node in nodes)
