"""The TypeScript compiler of the tests, which npm installs, and what it makes of the client."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.npm import install

TYPESCRIPT = "typescript@5.9.3"

STRICT = (
    *("--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"),
    *("--noUnusedLocals", "--noUnusedParameters", "--erasableSyntaxOnly", "--isolatedModules"),
    *("--noImplicitOverride", "--noPropertyAccessFromIndexSignature", "--noImplicitReturns"),
    *("--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"),
)

Compile = Callable[..., "subprocess.CompletedProcess[str]"]


def compiler(config: pytest.Config) -> Compile:
    """Install it, and return how to compile files of one folder to JavaScript next to them."""
    tsc = install(config, TYPESCRIPT) / ".bin" / "tsc"

    def compile_files(
        *paths: Path, options: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        command = [str(tsc), *STRICT, *options, *(path.name for path in paths)]
        return subprocess.run(
            command, cwd=paths[0].parent, capture_output=True, text=True, timeout=120, check=False
        )

    return compile_files
