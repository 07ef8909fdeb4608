"""nginx before a server: as the documentation sets it up, and as it is when nothing is set."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .client import HOST
from .servers import STOPPING, free_port, wait_until_it_accepts

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"

SHORT = "500ms"
"""A `proxy_read_timeout` and a `send_timeout` that a test can wait for."""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Proxy:
    """A running nginx: the ports of its servers, which all pass requests on to the same one."""

    documented: int
    http2: int
    """As documented, for clients that speak HTTP/2 by prior knowledge."""
    short: int
    """As documented, but with timeouts of `SHORT`."""
    defaults: int
    """With nothing but ``proxy_pass``."""
    below: int
    """As documented, below the path ``/shop``."""


@contextmanager
def proxied(upstream: int, directory: Path) -> Iterator[Proxy]:
    """Run nginx before a server on a port, as long as the block lasts."""
    proxy = Proxy(*(free_port() for _ in range(5)))
    directory.mkdir()
    configuration = directory / "nginx.conf"
    configuration.write_text(_configuration(proxy, upstream, directory))
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [NGINX or "nginx", "-e", "stderr", "-c", configuration], stderr=file.fileno()
        )
    try:
        wait_until_it_accepts(process, proxy.documented, output)
        yield proxy
    finally:
        process.terminate()
        process.wait(STOPPING)


def _configuration(proxy: Proxy, upstream: int, directory: Path) -> str:
    documented = _documented().replace("location /events", "location /")
    documented = documented.replace("127.0.0.1:8000", f"{HOST}:{upstream}")
    rewrite = f"{_documented_rewrite()} proxy_pass"
    below = documented.replace("location /", "location /shop/").replace("proxy_pass", rewrite)
    servers = [
        _server(f"{proxy.documented}", documented),
        _server(f"{proxy.http2} http2", documented),
        _server(
            f"{proxy.short}", f"proxy_read_timeout {SHORT}; send_timeout {SHORT}; {documented}"
        ),
        _server(f"{proxy.defaults}", f"location / {{ proxy_pass http://{HOST}:{upstream}; }}"),
        _server(f"{proxy.below}", below),
    ]
    temporary = [f"{name}_temp_path {directory / name};" for name in _TEMPORARY]
    user = ["user root;"] if os.geteuid() == 0 else []
    return "\n".join(
        [
            *user,
            f"daemon off; pid {directory / 'pid'}; worker_processes 1;",
            "events {}",
            "http {",
            "access_log off;",
            *temporary,
            *servers,
            "}\n",
        ]
    )


def _server(listen: str, inside: str) -> str:
    return f"server {{ listen {HOST}:{listen}; {inside} }}"


def _documented() -> str:
    """Return the blocks of the documentation that set nginx up."""
    return "".join(_location(name) for name in ("/events", "@restarting"))


def _documented_rewrite() -> str:
    """Return the line of the documentation that takes a path away."""
    found = re.search(r"`(rewrite [^`]+;)`", DOCUMENT.read_text())
    assert found, f"{DOCUMENT} has no line that takes a path away"
    return found[1]


def _location(name: str) -> str:
    _, found, rest = DOCUMENT.read_text().partition(f"\nlocation {name} {{\n")
    block, end, _ = rest.partition("\n}\n")
    assert found, f"{DOCUMENT} has no location {name}"
    assert end, f"{DOCUMENT} has a location {name} without an end"
    return found + block + end
