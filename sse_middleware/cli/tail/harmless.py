"""`harmless`: makes the characters visible with which a server could steer a terminal.

Rules of this file:
- Escape sequences move the cursor, hide text, rename windows, and some terminals let them type.
  They all begin with a control character of C0 or C1, so none of them stays as it is, except a tab
  and a newline.
- Characters that turn the direction of a text around make it look like another one. They become
  visible, too, and so do the line ends of Unicode, where some terminals break a line.
"""

import re

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_UNSAFE_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_BYTE = 0xFF


def harmless(text: str) -> str:
    r"""Return a text for a terminal. ESC becomes the four characters ``\x1b``, for example."""
    return _UNSAFE.sub(_visible, text)


def harmless_line(text: str, longest: int = 500) -> str:
    """Return a text as one line, cut to a length in characters: for a message."""
    cut = _UNSAFE_IN_LINE.sub(_visible, " ".join(text.split()))
    return cut if len(cut) <= longest else f"{cut[:longest]}..."


def harmless_json(text: str) -> str:
    """Return a JSON text that means the same, in one line, with no such character in it."""
    return _UNSAFE.sub(_escaped, text.replace("\n", " ").replace("\t", " "))


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code <= _BYTE else f"\\u{code:04x}"


def _escaped(found: re.Match[str]) -> str:
    # In JSON these are only inside of strings, except a CR, which is white space.
    return " " if found[0] == "\r" else f"\\u{ord(found[0]):04x}"
