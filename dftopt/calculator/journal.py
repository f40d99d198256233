"""Finished pieces of a long work, one line each in a file that only grows: what is written is never lost or half read.

A first line says what the work is (settings); every other holds a key, its data as JSON, and a checksum. A line that a
killed process left unfinished, or that is damaged, is ignored when the journal is opened again: its piece is done again.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dftopt.calculator.report import plain
from dftopt.errors import InputError

FORMAT, VERSION = "dftopt journal", 1


def key_of(atoms, **settings) -> str:
    """A key that changes with any number of a structure (elements, positions, cell, moments) or with the settings."""
    digest = hashlib.sha256(json.dumps(plain(settings), sort_keys=True).encode())
    moments = atoms.get_initial_magnetic_moments() if atoms.has("initial_magmoms") else np.zeros(len(atoms))
    for array in (
        atoms.numbers.astype(np.int64),
        atoms.positions,
        atoms.cell.array,
        atoms.pbc.astype(np.int8),
        moments,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]


class Journal:
    """Pieces by key; see the module.

    Args:
        path: of the file; made with the first piece.
        settings: what all pieces have in common, as plain values.

    Raises:
        InputError: the file is no journal, one of another version, or of other settings (named).
    """

    def __init__(self, path, settings: Mapping[str, Any]):
        self.path = Path(path)
        self._settings = json.loads(json.dumps(plain(settings)))
        self.pieces: dict[str, Any] = {}
        self._end = 0  # bytes that are whole lines
        if self.path.exists():
            self._read()

    def __contains__(self, key: str) -> bool:
        return key in self.pieces

    def __getitem__(self, key: str):
        return self.pieces[key]

    def __len__(self) -> int:
        return len(self.pieces)

    def add(self, key: str, data) -> None:
        """Append a piece and wait until it is on the disk.

        Raises:
            OSError: it could not be written; the pieces before it stay.
        """
        data = json.loads(json.dumps(plain(data)))
        text = ""
        if self._end == 0:
            text = _line({"format": FORMAT, "version": VERSION, "settings": self._settings})
        text += _line({"key": key, "data": data})
        with self.path.open("r+b" if self.path.exists() else "xb") as stream:
            stream.truncate(self._end)
            stream.seek(self._end)
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        self._end += len(text.encode())
        self.pieces[key] = data

    def _read(self) -> None:
        with self.path.open("rb") as stream:
            content = stream.read()
        head, *lines = content.split(b"\n")
        first = _parsed(head)
        if first is None:
            if lines or not b'{"check"'.startswith(head[:8]):
                raise InputError(
                    f"{self.path} is not a journal of dftopt, or its first line is damaged. Remove it, or use --overwrite."
                )
            return  # nothing, or a first line cut short: no piece was finished
        if first.get("format") != FORMAT or first.get("version") != VERSION:
            raise InputError(
                f"{self.path} is not a journal that this version of dftopt reads. Remove it, or use --overwrite."
            )
        different = _difference(first["settings"], self._settings)
        if different:
            raise InputError(
                f"{self.path} belongs to another calculation: {different}. Choose another place with --out, or replace it with --overwrite."
            )
        self._end = len(head) + 1
        for line in lines[:-1]:
            piece = _parsed(line)
            if piece is not None:  # a damaged one is done again
                self.pieces[piece["key"]] = piece["data"]
            self._end += len(line) + 1


def _line(data) -> str:
    text = json.dumps(data, allow_nan=False)
    return f'{{"check": "{zlib.crc32(text.encode()):08x}", "content": {text}}}\n'


def _parsed(line: bytes):
    """Content of a line, None where it is not whole."""
    try:
        outer = json.loads(line)
        text = json.dumps(outer["content"], allow_nan=False)
        return outer["content"] if f"{zlib.crc32(text.encode()):08x}" == outer["check"] else None
    except (ValueError, KeyError, TypeError):
        return None


def _difference(theirs, ours, name: str = "") -> str:
    """The first setting that differs, in words; empty if none does."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            found = _difference(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return ""
    if theirs == ours:
        return ""
    short = lambda value: text if len(text := json.dumps(value)) < 60 else text[:57] + "..."
    return f"{name} is {short(theirs)} there and {short(ours)} here"
