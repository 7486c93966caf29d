"""Generates `counterfoil.v1` from `protos/`, or checks that what is in the tree is fresh.

Usage: python tools/generate_stubs.py [--check]
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "core" / "counterfoil" / "v1"


def generate(out: Path) -> None:
    """Writes the stubs of every proto file, with type hints, below `out`."""
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    # The type-hint plugin is a console script beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=readable_stubs,quiet:{out}",
            f"--mypy_grpc_out=readable_stubs,quiet:{out}",
            *files,
        ]
    )
    if status != 0:
        raise SystemExit(status)
    package = out / "counterfoil" / "v1"
    (package / "__init__.py").write_text('"""Generated from protos/counterfoil/v1."""\n')


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / "counterfoil" / "v1"
        if "--check" not in sys.argv[1:]:
            shutil.rmtree(STUBS, ignore_errors=True)
            shutil.copytree(fresh, STUBS)
            return
        names = {p.name for p in fresh.iterdir()}
        there = {p.name for p in STUBS.iterdir() if p.is_file()} if STUBS.is_dir() else set()
        _, differing, missing = filecmp.cmpfiles(fresh, STUBS, sorted(names & there), shallow=False)
        stale = sorted(set(differing) | set(missing) | (names ^ there))
        if stale:
            print(f"stale stubs, run `make stubs`: {', '.join(stale)}", file=sys.stderr)
            raise SystemExit(1)


if __name__ == "__main__":
    main()
