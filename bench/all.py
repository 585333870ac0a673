"""`make bench`: every benchmark in turn, on an otherwise idle machine; prints the README's speed table.

Each script measures its subject and what a user would pick instead in one run, so that the ratio holds on
any machine. The figures are ratios and rates, not tests: nothing here fails on a slow day. By themselves run
what takes a quarter of an hour: memory.py and many_pictures.py; and what reads the shards of a finished
`make repro`: metric_learning.py and export.py.
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("readers", "detection", "ray_step", "rendering", "memory", "one_class_step")


def main() -> None:
    here = Path(__file__).parent
    for name in SCRIPTS:
        print(f"\n## {name}", flush=True)
        if code := subprocess.run([sys.executable, str(here / f"{name}.py")], check=False).returncode:
            sys.exit(code)


if __name__ == "__main__":
    main()
