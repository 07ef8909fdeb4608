"""Serves an example on loopback until you interrupt it."""

import argparse

import uvicorn
from starlette.applications import Starlette


def serve(app: Starlette) -> None:
    """Serve on the port that the command line gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(f"http://127.0.0.1:{port}/", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
