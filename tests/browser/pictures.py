"""``python -m tests.browser.pictures``: the pictures of the demo in the README.

They are written to ``docs/images``, in the light and in the dark.
"""

import tempfile
from pathlib import Path

from tests.chromium import chromium

from .demo import DESKTOP, Visit, serving_demo, visiting

FOLDER = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    """Take both pictures, each of a demo of its own."""
    FOLDER.mkdir(exist_ok=True)
    with chromium() as browser:
        for scheme in ("light", "dark"):
            with (
                tempfile.TemporaryDirectory() as directory,
                serving_demo(Path(directory, "output")) as demo,
                visiting(browser, demo.url, color_scheme=scheme) as visit,
            ):
                use(visit)
                take(visit, FOLDER / f"demo-{scheme}.png")


def use(visit: Visit) -> None:
    """Do what leaves something to see."""
    visit.page.get_by_label("Your name").fill("Ann")
    for text in ("Is anybody here?", "I am about to restart the server."):
        visit.page.get_by_label("Your message").fill(text)
        visit.page.keyboard.press("Enter")
        visit.wait_for_text("room-log", text)
    visit.press("silence", "Connect")
    visit.wait("() => Number($('#received').textContent) > 40")
    worker = visit.text("worker")
    visit.press("restart", "Restart the server")
    visit.wait("([worker]) => $('#worker').textContent !== worker", worker)
    visit.press("silence", "Connect")
    visit.wait("() => Number($('#received').textContent) > 90")
    visit.press("chat", "Ask")
    visit.wait_for_text("chat-log", "none comes twice")


def take(visit: Visit, path: Path) -> None:
    """Take a picture of the page from its top to the end of the second row of panels."""
    box = visit.panel("restart").bounding_box()
    bottom = box["y"] + box["height"] + visit.page.evaluate("scrollY")
    clip = {"x": 0, "y": 0, "width": DESKTOP["width"], "height": bottom + 10}
    visit.page.screenshot(path=path, full_page=True, clip=clip)


if __name__ == "__main__":
    main()
