"""The process of one contender under one server: ``python -m benchmarks.serve raw uvicorn``.

Rules of this file:
- The process binds a free port of its own, so that two servers never want the same one. It prints
  the port once its socket takes connections, even if the server doesn't accept them yet.
- A process imports one server and no other, since memory is measured.
- All servers run uvloop. What the application prints goes where this process prints.
"""

# ruff: noqa: PLC0415 - each function imports its own server

import socket
import sys
import time
from importlib import import_module
from threading import Thread

HOST = "127.0.0.1"
BACKLOG = 1024


def uvicorn(contender: str) -> None:
    from uvicorn import Config, Server

    config = Config(application(contender), http="httptools", loop="uvloop", log_level="warning")
    config.load()
    listening = listen()
    Server(config).run(sockets=[listening])


def hypercorn(contender: str) -> None:
    """Run without workers: the server is this process, as with uvicorn."""
    from hypercorn.config import Config
    from hypercorn.run import run

    listening = listen()
    config = Config.from_mapping(
        application_path=application(contender),
        bind=f"fd://{listening.detach()}",
        worker_class="uvloop",
        workers=0,
        loglevel="WARNING",
    )
    run(config)


def granian(contender: str) -> None:
    """Run one worker, which is a process of its own and makes its own socket for the port."""
    from granian import Granian
    from granian.constants import Interfaces, Loops
    from granian.log import LogLevels

    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((HOST, 0))
    port = reserved.getsockname()[1]
    Thread(target=announce, args=(port,), daemon=True).start()
    Granian(
        application(contender),
        HOST,
        port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        log_level=LogLevels.warning,
    ).serve()


SERVERS = {"uvicorn": uvicorn, "hypercorn": hypercorn, "granian": granian}


def application(contender: str) -> str:
    """Return where the application is. An import error ends this process before it listens."""
    module = f"benchmarks.contenders.{contender}"
    import_module(module)
    return f"{module}:app"


def listen() -> socket.socket:
    listening = socket.create_server((HOST, 0), backlog=BACKLOG)
    print(listening.getsockname()[1], flush=True)
    return listening


def announce(port: int) -> None:
    """Print the port once a server listens there."""
    while True:
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            print(port, flush=True)
            return


if __name__ == "__main__":
    SERVERS[sys.argv[2]](sys.argv[1])
