"""``python -m examples``: the demo on loopback, for a browser and for curl."""

import argparse
import os
import sys
import webbrowser

from .demo.supervisor import HOST, listening, serve

PORT = 8000

HINT = """
  in a browser:   {url}/
  in a terminal:  curl -N {url}/prices
                  curl -N {url}/silence
                  curl -N -H 'Accept: text/event-stream' {url}/legacy/lines

  Ctrl-C stops the server. Open streams are told first, and end.
"""


def has_browser() -> bool:
    """Whether somebody can see a browser that is opened here."""
    displays = sys.platform in {"win32", "darwin"} or {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    return bool(displays) and "CI" not in os.environ


def main() -> None:
    """Serve the demo until you interrupt it."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("--port", type=int, help=f"by default {PORT}, or another if it is taken")
    parser.add_argument("--no-open", action="store_true", help="don't open the browser")
    options = parser.parse_args()
    try:
        main_socket = listening(PORT if options.port is None else options.port)
    except OSError as error:
        if options.port is not None:
            parser.error(f"port {options.port} can't be used: {error.strerror}")
        main_socket = listening(0)
    url = f"http://{HOST}:{main_socket.getsockname()[1]}"

    def when_ready() -> None:
        print(HINT.format(url=url), flush=True)
        if has_browser() and not options.no_open:
            webbrowser.open(url)

    serve(main_socket, when_ready)


if __name__ == "__main__":
    main()
