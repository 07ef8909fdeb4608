"""The TypeScript compiler of the tests: installed by npm, into a folder of the test."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

NPM = shutil.which("npm")
TYPESCRIPT = "typescript@5.9.3"

STRICT = (
    *("--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"),
    *("--noUnusedLocals", "--noUnusedParameters", "--erasableSyntaxOnly", "--isolatedModules"),
    *("--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"),
)

Compile = Callable[[Path], subprocess.CompletedProcess[str]]


def compiler(folder: Path) -> Compile:
    """Install it, and return how to compile a file to JavaScript next to it; or skip the test."""
    if NPM is None:
        pytest.skip("there is no npm")
    install = [NPM, "install", "--prefix", str(folder), "--no-audit", "--no-fund", TYPESCRIPT]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr

    def compile_file(path: Path) -> subprocess.CompletedProcess[str]:
        command = [str(folder / "node_modules" / ".bin" / "tsc"), *STRICT, path.name]
        return subprocess.run(
            command, cwd=path.parent, capture_output=True, text=True, timeout=120, check=False
        )

    return compile_file
