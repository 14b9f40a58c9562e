"""Text files as editors of any system leave them."""

from __future__ import annotations

import codecs
from pathlib import Path

from baseh3d_ns.errors import InputError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or a UTF-16 one with a byte-order mark; without the mark, lines ended by "\\n".

    Bytes that are no characters become U+FFFD: in a comment they do not matter, elsewhere they fail to parse.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): complete the folder it belongs to") from error
    text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_statements(path: Path) -> list[list[str]]:
    """The `statements` of a file.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    return statements(read_text(path))


def statements(text: str) -> list[list[str]]:
    """The words of every line that has any, without comments: from a word that begins with # to the end of the line."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        if "#" in line:
            comment = next((number for number, word in enumerate(words) if word.startswith("#")), len(words))
            words = words[:comment]
        if words:
            found.append(words)
    return found
