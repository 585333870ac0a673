"""What is said before anything is sent; the whole way is in test_cluster.py."""

import os
import socket

import pytest

from mien.cluster.job import Order, Stage
from mien.cluster.submit import ADDRESS, server_address
from mien.config import MienError

VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", ADDRESS)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "address", ["http://10.0.0.7:8265", "http://ray.example:8265", "0.0.0.0:8265", "https://[2001:db8::1]:1"]
)
def test_a_dashboard_outside_the_loopback_is_not_spoken_to_without_a_token(address, monkeypatch):
    with pytest.raises(MienError, match="is not on loopback and no token is set"):
        server_address(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/secrets/ray")
    with pytest.raises(MienError, match="RAY_AUTH_MODE=token"):
        server_address(address)  # a token that Ray would not send
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert server_address(address).endswith(address.rpartition("/")[2])


def test_the_address_is_the_options_the_environments_or_rays_own(monkeypatch):
    assert server_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv(ADDRESS, "http://localhost:9999/")
    assert server_address(None) == "http://localhost:9999"
    assert server_address("127.0.0.1:1234") == "http://127.0.0.1:1234"
    for nonsense in ("ray://127.0.0.1:10001", "http://", "ftp://127.0.0.1"):
        with pytest.raises(MienError, match="is not http://HOST:PORT"):
            server_address(nonsense)


def test_a_server_that_is_not_there_is_named(monkeypatch, tmp_path):
    from mien.cluster.submit import Package, run

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    order = Order("mien-0", "s3://x", 1, {}, ())
    (tmp_path / "token").write_text("0" * 64)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    before = os.environ.get(ADDRESS)
    try:
        with pytest.raises(MienError, match=rf"job server at http://127.0.0.1:{port} does not answer"):
            run(Package(order, None, {}), f"http://127.0.0.1:{port}")  # type: ignore[arg-type]
    finally:
        os.environ.pop(ADDRESS, None) if before is None else None


def test_an_order_travels_as_it_is():
    stage = Stage("train@a", ("python", "pipeline/train.py", "a b"), "runs/a")
    order = Order("mien-1", "s3://x/y", 5, {"data/shards/c": "s3://x/y/shards/c-1"}, (stage,))
    assert Order.from_json(order.to_json()) == order
    assert order.delivery(stage) == "delivered/mien-1/train@a"
