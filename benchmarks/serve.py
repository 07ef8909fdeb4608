"""The process of one contender: ``python -m benchmarks.serve raw``.

It binds a free port of its own, so that no two servers can want the same one, and prints it: from
then on connections wait in the socket until the server takes them.
"""

import socket
import sys

from uvicorn import Config, Server


def serve(contender: str) -> None:
    config = Config(
        f"benchmarks.contenders.{contender}:app",
        http="httptools",
        loop="uvloop",
        log_level="warning",
    )
    config.load()  # an import error is to end this process before it has promised a port
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(sys.argv[1])
