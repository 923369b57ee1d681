"""Where a text stops being JSON, in RapidJSON's words.

Offsets and messages are those of RapidJSON's recursive parser (include/rapidjson/reader.h and
error/en.h of github.com/Tencent/rapidjson), which TensorFlow Serving's clients know.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SPACE = re.compile(rb"[ \n\r\t]+")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
_INTEGER = re.compile(rb"0|[1-9][0-9]*")
_DIGITS = re.compile(rb"[0-9]+")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_LITERALS = {b"n": b"null", b"t": b"true", b"f": b"false"}


class JsonError(NamedTuple):
    """What is wrong, and the offset in bytes at which a parser notices."""

    message: str
    offset: int


class _Stop(Exception):
    """Carries the message and the offset."""


def find_error(text: bytes, deepest: int) -> JsonError | None:
    """The first error of `text`, or None where RapidJSON finds none.

    Args:
        deepest: how many lists and objects may lie in one another.
    """
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return JsonError("Invalid encoding in string.", error.start)
    try:
        _document(text, deepest)
    except _Stop as stop:
        return JsonError(*stop.args)
    return None


def _document(text: bytes, deepest: int) -> None:
    at = _after(_SPACE, text, 0)
    if at == len(text):
        raise _Stop("The document is empty.", at)
    # What encloses the current value: "[" or "{".
    enclosing: list[bytes] = []
    while True:
        opening = text[at : at + 1]
        if opening in (b"[", b"{"):
            enclosing.append(opening)
            if len(enclosing) > deepest:
                raise _Stop(f"Nested deeper than {deepest} levels.", at)
            at = _after(_SPACE, text, at + 1)
            if text[at : at + 1] != (b"]" if opening == b"[" else b"}"):
                at = at if opening == b"[" else _name(text, at)
                continue
            enclosing.pop()
            at += 1
        else:
            at = _scalar(text, at)
        at = _after_value(text, at, enclosing)
        if not enclosing:
            if at < len(text):
                raise _Stop("The document root must not be followed by other values.", at)
            return


def _after_value(text: bytes, at: int, enclosing: list[bytes]) -> int:
    """Closes what ends here; returns the offset of the next value, or of what follows the root."""
    while True:
        at = _after(_SPACE, text, at)
        if not enclosing:
            return at
        mark, in_list = text[at : at + 1], enclosing[-1] == b"["
        if mark == b",":
            at = _after(_SPACE, text, at + 1)
            return at if in_list else _name(text, at)
        if mark != (b"]" if in_list else b"}"):
            raise _Stop(
                "Missing a comma or ']' after an array element."
                if in_list
                else "Missing a comma or '}' after an object member.",
                at,
            )
        enclosing.pop()
        at += 1


def _name(text: bytes, at: int) -> int:
    """The offset of the value of the member that starts here."""
    if text[at : at + 1] != b'"':
        raise _Stop("Missing a name for object member.", at)
    at = _after(_SPACE, text, _string(text, at))
    if text[at : at + 1] != b":":
        raise _Stop("Missing a colon after a name of object member.", at)
    return _after(_SPACE, text, at + 1)


def _scalar(text: bytes, at: int) -> int:
    """The offset after the string, literal or number that starts here."""
    first = text[at : at + 1]
    if first == b'"':
        return _string(text, at)
    if first in _LITERALS:
        return _literal(text, at, _LITERALS[first])
    return _number(text, at)


def _literal(text: bytes, at: int, word: bytes) -> int:
    for i in range(len(word)):
        if text[at + i : at + i + 1] != word[i : i + 1]:
            raise _Stop("Invalid value.", at + i)
    return at + len(word)


def _string(text: bytes, at: int) -> int:
    at += 1
    while True:
        at = _after(_PLAIN, text, at)
        mark = text[at : at + 1]
        if mark == b'"':
            return at + 1
        if mark in (b"", b"\x00"):
            raise _Stop("Missing a closing quotation mark in string.", at)
        if mark != b"\\":
            raise _Stop("Invalid encoding in string.", at)
        escaped = text[at + 1 : at + 2]
        if escaped == b"u":
            at = _unicode(text, at)
        elif escaped and escaped in b'"/\\bfnrt':
            at += 2
        else:
            raise _Stop("Invalid escape character in string.", at)


def _unicode(text: bytes, at: int) -> int:
    first = _hex(text, at, at + 2)
    if not 0xD800 <= first <= 0xDFFF:
        return at + 6
    if first >= 0xDC00 or text[at + 6 : at + 8] != rb"\u":
        raise _Stop("The surrogate pair in string is invalid.", at)
    if not 0xDC00 <= _hex(text, at, at + 8) <= 0xDFFF:
        raise _Stop("The surrogate pair in string is invalid.", at)
    return at + 12


def _hex(text: bytes, escape: int, at: int) -> int:
    digits = _HEX.match(text, at)
    if not digits:
        raise _Stop("Incorrect hex digit after \\u escape in string.", escape)
    return int(digits[0], 16)


def _number(text: bytes, start: int) -> int:
    at = start + (text[start : start + 1] == b"-")
    if text[at : at + 1] in (b"I", b"N"):
        return _constant(text, at)
    at = _part(_INTEGER, text, at, "Invalid value.")
    if text[at : at + 1] == b".":
        at = _part(_DIGITS, text, at + 1, "Miss fraction part in number.")
    if text[at : at + 1] in (b"e", b"E"):
        at += 1 + (text[at + 1 : at + 2] in (b"+", b"-"))
        at = _part(_DIGITS, text, at, "Miss exponent in number.")
    if float(text[start:at]) in (float("inf"), float("-inf")):
        raise _Stop("Number too big to be stored in double.", start)
    return at


def _after(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """The offset after what `pattern` finds at `at`, which may be nothing."""
    match = pattern.match(text, at)
    return match.end() if match else at


def _part(pattern: re.Pattern[bytes], text: bytes, at: int, missing: str) -> int:
    match = pattern.match(text, at)
    if not match:
        raise _Stop(missing, at)
    return match.end()


def _constant(text: bytes, at: int) -> int:
    """NaN, Inf or Infinity."""
    if text[at : at + 1] == b"N":
        return _literal(text, at, b"NaN")
    at = _literal(text, at, b"Inf")
    return _literal(text, at, b"inity") if text[at : at + 1] == b"i" else at
