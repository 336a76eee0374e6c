"""A participant's own disk: the newest states of the stage that it serves, for the day when nobody else has it.

A file is one line of JSON (what it is, and the hash of what follows) and the state's float32 elements. It is written
whole or not at all, and believed only when the hash fits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint.files import replacing

Float32 = npt.NDArray[np.float32]
KEPT = 3
"""States of a stage: those whom a crash meets while they write the newest one have the one before, as all others do."""
LONGEST_HEAD = 4096
_NAME = re.compile(r"stage-(\d{1,9})-era-(\d{1,9})-commit-(\d{1,12})\.state")


def rank_folder(folder: Path | str, rank: int) -> Path:
    """Where one of a participant's local devices keeps its part."""
    return Path(folder) / f"rank-{rank}"


class ShelfError(Exception):
    """A state could not be read; the message names the file and what is wrong with it."""


class Shelf:
    """States in one folder.

    Args:
        folder: made when something is written.
        stage: only states of this stage are seen.
    """

    def __init__(self, folder: Path, stage: int) -> None:
        self._folder, self.stage = folder, stage

    def kept(self) -> frozenset[tuple[int, int]]:
        """(Era, commit) of what is there, not looked into."""
        return frozenset(self._found())

    def _found(self) -> dict[tuple[int, int], Path]:
        found: dict[tuple[int, int], Path] = {}
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None and int(match[1]) == self.stage:
                    found[int(match[2]), int(match[3])] = path
        return found

    def _path(self, era: int, commit: int) -> Path:
        return self._folder / f"stage-{self.stage}-era-{era}-commit-{commit}.state"

    def put(self, era: int, commit: int, values: Float32, parameter_hash: str) -> None:
        """Write a state, shape [N], and delete all but the newest ones. Raises OSError (a full disk, for one)."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = np.ascontiguousarray(values, np.float32)
        digest = hashlib.blake2b(data.data, digest_size=16).hexdigest()
        head = {"elements": len(data), "hash": digest, "parameters": parameter_hash}
        with replacing(self._path(era, commit)) as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(data.data)
        found = self._found()
        for key in sorted(found)[:-KEPT]:
            found[key].unlink(missing_ok=True)

    def get(self, era: int, commit: int) -> tuple[Float32, str]:
        """Read a state, shape [N], and the hash of its parameters. Raises ShelfError."""
        path = self._path(era, commit)
        try:
            return self._read(path)
        except (OSError, ValueError) as error:
            raise ShelfError(f"{path.name} cannot be used: {error}") from None

    def _read(self, path: Path) -> tuple[Float32, str]:
        with path.open("rb") as file:
            line = file.readline(LONGEST_HEAD)
            head = _head(line)
            if path.stat().st_size != len(line) + 4 * head["elements"]:
                raise ValueError("it has another size than it says")
            values = np.fromfile(file, np.float32, head["elements"])
        if hashlib.blake2b(values.data, digest_size=16).hexdigest() != head["hash"]:
            raise ValueError("its content is not what was written")
        return values, head["parameters"]

    def drop(self, era: int, commit: int) -> None:
        """Delete a state that is of no use."""
        with contextlib.suppress(OSError):
            self._path(era, commit).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the states of other stages: they are of no use any more."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None and int(match[1]) != self.stage:
                    path.unlink(missing_ok=True)


def _head(line: bytes) -> dict[str, Any]:
    """What the first line says. Raises ValueError with one sentence."""
    try:
        head = json.loads(line)
        elements, digest, parameters = head["elements"], head["hash"], head["parameters"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("its first line is damaged") from None
    if type(elements) is not int or elements < 0 or type(digest) is not str or type(parameters) is not str:
        raise ValueError("its first line is damaged")
    return {"elements": elements, "hash": digest, "parameters": parameters}
