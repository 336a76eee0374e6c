"""A small corpus and a cache folder of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.data.config import DataConfig

TEXT = "".join(f"Line {number}: the quick brown fox, grün und 語.\n" for number in range(400))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """About 17 kB of text."""
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def config(text_file: Path, tmp_path: Path) -> DataConfig:
    """The small corpus as bytes."""
    return DataConfig(source=str(text_file), cache=str(tmp_path / "cache"))
