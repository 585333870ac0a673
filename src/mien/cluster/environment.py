"""The environment of every process that speaks to Ray, set in one place and before ray is imported."""

import os

_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon a killed worker is noticed
    "RAY_worker_niceness": "0",  # at Ray's own 15 any other process starves the workers on a small machine
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a thread of Ray Data that outlives its Ray would start another one
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",  # the stages show their own
    "DASHBOARD_METRIC_PORT": "-1",  # no such port: else the dashboard tells its figures on all interfaces
    "AUTOSCALER_METRIC_PORT": "-1",  # the autoscaler likewise
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's other way of printing does so at any verbosity
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no JSON, CSV and TensorBoard files of Tune's own
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; unset it warns at every start
}


_LOCAL = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # nobody takes this machine away; the watcher is a process
    "RAY_TRAIN_METRICS_ENABLED": "0",  # there is no Prometheus to read them
}


def prepare_environment() -> None:
    """Set what Ray reads at import and hands to its workers; what the user has set stays."""
    for name, value in _ALWAYS.items():
        os.environ.setdefault(name, value)
    # Ray starts a dozen processes: without compiled files each would spend seconds on importing
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def prepare_local() -> None:
    """The same for a Ray of this machine alone: without what watches machines and figures of a cluster.

    Ray's C++ remarks about Ray Data's own actors stay off this process's stderr; exceptions still come.
    """
    for name, value in _LOCAL.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")


def use_token(path: str) -> None:
    """Let only holders of the token file speak to the local Ray, which listens on more than the loopback."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = path
