"""``python -m examples``: the demo on loopback, for a browser and for curl."""

import argparse

import uvicorn

HINT = """
  in a browser:   http://127.0.0.1:{port}/
  in a terminal:  curl -N http://127.0.0.1:{port}/clock
                  curl -N http://127.0.0.1:{port}/quiet
                  curl -N -H 'Content-Type: application/json' \\
                       -d '{{"text": "hello"}}' http://127.0.0.1:{port}/chat

  Ctrl-C stops the server. Open streams are told first, and end.
"""


def main() -> None:
    """Serve the demo until you interrupt it."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(HINT.format(port=port), flush=True)
    uvicorn.run("examples.app:app", host="127.0.0.1", port=port, log_level="warning")


main()
