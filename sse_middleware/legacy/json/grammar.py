r"""The grammar of JSON (RFC 8259) in regular expressions, for UTF-8.

Rules of this file:
- At each place at most one branch fits, so nothing backtracks far: a match that fails has
  read each byte a few times at most.
- Groups aren't repeated possessively, because Python before 3.11.5 gets some of those wrong.
"""

import re

_ESCAPE = (
    rb'\\(?:["\\/bfnrt]|u(?:(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    rb"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_IN_STRING = rb'[^"\\\x00-\x1f]*+(?:' + _ESCAPE + rb'[^"\\\x00-\x1f]*+)*'
_STRING = rb'"' + _IN_STRING + rb'"'
_SHORT_NUMBER = rb"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][+-]?[0-9]{1,9})?(?![0-9.eE])"
_SPACE = rb"[ \t\r\n]*+"
_SCALAR = rb"(?:" + _STRING + rb"|" + _SHORT_NUMBER + rb"|true|false|null)"
_KEY = _STRING + _SPACE + rb":" + _SPACE
_COMMA_OR = rb"(?:," + _SPACE + rb"(?!%b)|(?=%b))"
"""What follows an item: a comma and another item, or the end of the container."""
_NEXT_ELEMENT = _SPACE + _COMMA_OR % (rb"\]", rb"\]")
_NEXT_MEMBER = _SPACE + _COMMA_OR % (rb"\}", rb"\}")
_SCALAR_OR_CONTAINER = (
    (rb"(?:" + _SCALAR)
    + (rb"|\[" + _SPACE + rb"(?:%b" + _NEXT_ELEMENT + rb")*\]")
    + (rb"|\{" + _SPACE + rb"(?:" + _KEY + rb"%b" + _NEXT_MEMBER + rb")*\})")
)
_FLAT = _SCALAR_OR_CONTAINER % (_SCALAR, _SCALAR)
_NESTED_ONCE = _SCALAR_OR_CONTAINER % (_FLAT, _FLAT)
_NESTED_TWICE = _SCALAR_OR_CONTAINER % (_NESTED_ONCE, _NESTED_ONCE)

ELEMENT = re.compile(_SPACE + rb"(" + _NESTED_TWICE + rb")" + _SPACE + rb"(?=([,\]}]))")
"""A value that nests little, and the byte that follows it in an array or object."""

ELEMENTS = re.compile(rb"(?:" + _SPACE + _FLAT + _SPACE + rb",)*")
MEMBERS = re.compile(rb"(?:" + _SPACE + _KEY + _FLAT + _SPACE + rb",)*")

BLANKS = re.compile(_SPACE)
REST_OF_STRING = re.compile(_IN_STRING)
CUT_ESCAPE = re.compile(
    rb"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}"
    rb"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?"
)
"""The beginning of an escape of a character, or of a pair of surrogates."""
NUMBER_BYTES = re.compile(rb"[-+.eE0-9]*+")
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,4299})(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
LITERALS = (b"true", b"false", b"null")
