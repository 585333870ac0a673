"""A whole cluster on this machine, without containers: `python -m infra.local up`, `down` or `status`.

`up` starts PostgreSQL, an S3 server, MLflow behind them and three Ray nodes, all on loopback and on free
ports, and says which file to source for addresses and passwords. `down` ends all and removes what they
kept: runs, models and artifacts of this cluster are gone then (`mien backup` before, to keep them).
Needs Debian's package postgresql. `make cluster` and `make cluster-stop` are the same.
"""

import sys

from infra.local.cluster import down, state_folder, up
from infra.local.processes import ENVIRONMENT, Processes

from mien.config import MienError


def main(words: list[str]) -> None:
    folder = state_folder()
    if words == ["up"]:
        environment = up(folder)
        print(f"MLflow  {environment['MLFLOW_TRACKING_URI']} (name and password in the file below)")
        print(
            f"Ray     {environment['RAY_API_SERVER_ADDRESS']} (token in {environment['RAY_AUTH_TOKEN_PATH']})"
        )
        print(f"\nin a shell:  . {folder / ENVIRONMENT}")
        print(f"logs:        {folder}/*.log\nend it:      make cluster-stop")
    elif words == ["down"]:
        print(f"ended: {', '.join(down(folder)) or 'nothing was running'}")
    elif words == ["status"]:
        alive = Processes(folder).alive()
        print(
            "\n".join(f"{name:10} {process.pid}" for name, process in alive.items()) or "nothing is running"
        )
    else:
        sys.exit("usage: python -m infra.local up | down | status")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MienError as error:
        sys.exit(f"error: {error}")
