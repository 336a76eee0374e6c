"""Data sets of the Hugging Face hub, through the optional `datasets` package."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.data.digest import digest
from orchestrator.data.errors import DataError


@dataclass(frozen=True)
class HubDataset:
    """The split `train` of `hf:NAME` or `hf:NAME:CONFIG`; one document a row."""

    name: str
    configuration: str | None
    field: str

    @classmethod
    def parse(cls, source: str, field: str) -> HubDataset:
        """Read `hf:NAME` or `hf:NAME:CONFIG`. Raises DataError when there is no name."""
        name, _, configuration = source.removeprefix("hf:").partition(":")
        if not name:
            raise DataError(f"data.source '{source}' names no data set; write hf:NAME or hf:NAME:CONFIG.")
        return cls(name, configuration or None, field)

    def __iter__(self) -> Iterator[bytes]:
        """Yield one document a row. Raises DataError when a row has no text in the field."""
        for number, row in enumerate(self._rows):
            text = row.get(self.field)
            if not isinstance(text, str):
                raise DataError(
                    f"{self._source}: row {number} has no text in the field '{self.field}' (it has: "
                    f"{', '.join(sorted(row))}); set data.field."
                )
            if text:
                yield text.encode("utf-8", "replace")

    def stamp(self) -> str | None:
        """Return the library's own fingerprint of the rows it has on disk."""
        known = getattr(self._rows, "_fingerprint", None)
        return digest("hf", self.field, str(known)) if known else None

    @property
    def _source(self) -> str:
        return f"data.source 'hf:{self.name}{':' + self.configuration if self.configuration else ''}'"

    @cached_property
    def _rows(self) -> Any:
        """Load (and on first use download) the split."""
        try:
            library = importlib.import_module("datasets")
        except ImportError as error:
            raise DataError(f"{self._source} needs the package `datasets`: pip install 'tessera[datasets]'.") from error
        try:
            return library.load_dataset(self.name, self.configuration, split="train")
        except Exception as error:  # the library, its network client and its readers each raise their own
            raise DataError(
                f"{self._source} cannot be loaded ({type(error).__name__}: {error}); check the name, its configuration "
                "and the connection."
            ) from error
