"""Make .venv from requirements.lock; does nothing when it is already that. Needs only Python's own library.

pip installs it, or uv when it is on the path; both check every file against the lock's hashes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".mien-lock"
LOCK = ROOT / "requirements.lock"
NEEDED_GB = 9.0


def main() -> None:
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text(encoding="ascii") == wanted:
        return
    check_machine()
    python = VENV / "bin" / "python"
    if not python.is_file():
        run(sys.executable, "-m", "venv", str(VENV))
    STAMP.unlink(missing_ok=True)
    if uv := shutil.which("uv"):
        say("installing requirements.lock with uv (about a minute) ...")
        links = [word for folder in local_wheels() for word in ("--find-links", folder)]
        # outside the checkout: uv would read overrides from a pyproject.toml beside it
        run(
            uv,
            "pip",
            "sync",
            str(LOCK),
            "--python",
            str(python),
            "--require-hashes",
            "--compile-bytecode",
            "-q",
            *links,
            cwd="/",
        )
        run(
            uv,
            "pip",
            "install",
            "--python",
            str(python),
            "--no-deps",
            "--no-build-isolation",
            "-q",
            "-e",
            str(ROOT),
            cwd="/",
        )
    else:
        say("installing requirements.lock with pip (two to four minutes; uv on the path makes it one) ...")
        pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
        run(*pip, "--require-hashes", "-r", str(LOCK))
        run(*pip, "--no-build-isolation", "-e", str(ROOT))
    STAMP.write_text(wanted, encoding="ascii")
    say("installed into .venv")


def check_machine() -> None:
    """Exit with what to install when the machine cannot carry the environment."""
    if sys.version_info[:2] != (3, 11):
        sys.exit(
            f"error: Python 3.11 is needed, this is {sys.version.split()[0]}; run `make PYTHON=python3.11`."
        )
    for command in ("git",):
        if shutil.which(command) is None:
            sys.exit(f"error: {command} is not on the path; install it (Debian: apt-get install {command}).")
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < NEEDED_GB:
        sys.exit(
            f"error: {NEEDED_GB:.0f} GiB of disk are needed beside {ROOT}, {free:.1f} are free; make room."
        )


def local_wheels() -> list[str]:
    """Folders of wheels that pip is configured to use, which uv does not know of."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found = []
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        for word in value.strip("'\"").split():
            if key.endswith("find-links") and Path(word).is_dir():
                found.append(word)
            elif key.endswith("index-url") and word.startswith("file:"):
                files = Path(urlparse(word).path).parent / "files"
                found += [str(files)] if files.is_dir() else []
    return list(dict.fromkeys(found))


def run(*words: str, cwd: str | None = None) -> None:
    # without PYTHONDONTWRITEBYTECODE: an uncompiled environment makes every import three times as slow
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")}
    if subprocess.run(words, cwd=cwd, env=environment, check=False).returncode:
        sys.exit(
            f"error: `{' '.join(words[:4])} ...` failed; see above, mend it and run the same command again."
        )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
