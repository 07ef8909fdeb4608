"""A folder of TypeScript: what the generators make in it, and programs that use it.

The programs and the commands are those of docs/generators.md.
"""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "generators.md").read_text("utf-8")

PACKAGES = (
    *("@hey-api/openapi-ts@0.99.0", "orval@8.38.0", "openapi-typescript@7.13.0"),
    *("eventsource-parser@3.1.1", "typescript@5.9.3", "esbuild@0.28.2", "@redocly/cli@2.77.0"),
)

SHOWN_URL = "http://127.0.0.1:8000"
"""Where the programs of the page find the server."""

STRICT = (
    *("--noEmit", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022"),
    *("--lib", "es2023,dom,dom.iterable,dom.asynciterable"),
    *("--module", "esnext", "--moduleResolution", "bundler"),
)

LONGEST = 100
"""Seconds that a command may take."""

Done = subprocess.CompletedProcess[str]


def blocks(language: str) -> list[str]:
    """Return what the page shows in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def files() -> dict[str, str]:
    """Return the files of the page, by the names in their first lines."""
    found = [re.match(r"// (\S+)\n", code) for code in blocks("(?:typescript|js)")]
    return {named[1]: named.string for named in found if named}


@dataclass(frozen=True)
class Project:
    """A folder with the installed packages."""

    folder: Path

    def write_document(self, *, data_schema: bool) -> None:
        """Write the document as the page does it, in an interpreter of its own."""
        [code] = blocks("python")
        code = code.replace("data_schema=True", f"{data_schema=}")
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
        subprocess.run(command, cwd=self.folder, check=True, timeout=LONGEST)

    def write(self, name: str, code: str, url: str = SHOWN_URL) -> None:
        """Write a file, in which the server has another URL."""
        (self.folder / name).write_text(code.replace(SHOWN_URL, url), "utf-8")

    def generate(self, generator: str) -> Done:
        """Run the page's command for a generator."""
        [command] = [line for line in blocks("sh")[0].splitlines() if generator in line]
        _, package, *arguments = shlex.split(command)
        assert package in PACKAGES
        return self.call(package.rpartition("@")[0].rpartition("/")[2], *arguments)

    def call(self, program: str, *arguments: str) -> Done:
        """Run a program of an installed package."""
        path = self.folder / "node_modules" / ".bin" / program
        return self._done(str(path), *arguments)

    def check_types(self, **programs: str) -> None:
        """Compile programs. An expected error that there is not is an error."""
        for name, code in programs.items():
            self.write(f"{name}.ts", code)
        done = self.call("tsc", *STRICT, *(f"{name}.ts" for name in programs))
        assert done.returncode == 0, done.stdout

    def run(self, name: str) -> list[str]:
        """Bundle a program, run it with node, and return the lines that it prints."""
        options = ("--bundle", "--format=esm", "--platform=node", "--outfile=program.mjs")
        bundled = self.call("esbuild", name, *options)
        assert bundled.returncode == 0, bundled.stderr
        done = self._done("node", "program.mjs")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def _done(self, *command: str) -> Done:
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=LONGEST, check=False
        )


CONFIG = files()["orval.config.mjs"]
"""Of orval, as the page shows it."""

FETCH = (
    CONFIG.replace("axios-functions", "fetch")
    .replace('"api.ts"', '"fetch.ts"')
    .replace('override: { mutator: { path: "./stream.ts", name: "stream" } },', "")
)
"""Of orval's own client."""


def generate_with_orval(project: Project, config: str) -> None:
    """Generate a client that calls the page's function, if the configuration names it."""
    project.write("stream.ts", files()["stream.ts"])
    project.write("orval.config.mjs", config)
    done = project.generate("orval")
    assert done.returncode == 0, done.stdout
