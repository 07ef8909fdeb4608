"""``python -m tests.anyio_versions 4.5.0 ...``: runs the tests of cancellation under each version.

anyio takes cancellations back on behalf of scopes, and its versions differ in how they count them.
Each version is installed into the environment that runs this, so use one of your own.
"""

import subprocess
import sys

TESTS = (
    "tests/event_loop",
    "tests/stream/test_outer_cancel.py",
    "tests/stream/test_own_cleanup.py",
    "tests/stream/test_cooperative_producers.py",
    "tests/legacy/test_adopted_limits.py",
)


def main(versions: list[str]) -> int:
    """Run the tests under each version. Returns how many versions failed."""
    failed = 0
    for version in versions:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", f"anyio=={version}"]
        subprocess.run(pip, check=True)
        print(f"anyio {version}", flush=True)  # noqa: T201 - a script
        tests = [sys.executable, "-m", "pytest", "-q", "-m", "not e2e", *TESTS]
        failed += subprocess.run(tests, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
