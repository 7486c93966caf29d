"""Refuses proto changes that break what has landed: `buf breaking` against the main branch.

On main itself the yardstick is the commit before, so that a commit is checked against what it
replaces. A tree without history (an unpacked archive) has nothing to break and says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASES = ("origin/main", "main", "HEAD~1", "HEAD")


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


def bases() -> list[str]:
    """Each landed state there is to compare with, once."""
    commits: dict[str, str] = {}
    for name in BASES:
        found = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.returncode == 0 and git("cat-file", "-e", f"{name}:protos").returncode == 0:
            commits.setdefault(found.stdout.decode().strip(), name)
    return list(commits)


def main() -> None:
    found = bases()
    if not found:
        print("no history to compare the protos with: nothing landed, nothing to break")
        return
    buf = Path(sys.executable).parent / "buf"
    for commit in found:
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "protos.tar"
            archive.write_bytes(git("archive", "--format=tar", commit, "protos").stdout)
            subprocess.run(["tar", "-xf", str(archive), "-C", folder], check=True)
            against = Path(folder) / "protos"
            status = subprocess.run(
                [buf, "breaking", "--against", str(against)], cwd=ROOT / "protos", check=False
            ).returncode
        if status != 0:
            raise SystemExit(f"the protos break what landed in {commit[:12]}")


if __name__ == "__main__":
    main()
