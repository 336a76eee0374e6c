"""Which checkpoint a run begins with, and what is told of those that it cannot begin with."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from checkpoint.catalogue import newest_good, next_history
from checkpoint.errors import STORE_FAILS
from checkpoint.names import CheckpointId
from checkpoint.store import Store
from orchestrator.config import ConfigError, RunConfig

_UNUSABLE = re.compile(r"can use the checkpoint of commit (\d+): ")


def absolute(url: str) -> str:
    """A plain path, seen from wherever participants run."""
    return str(Path(url).expanduser().resolve()) if url and "://" not in url and "::" not in url else url


def with_checkpoint(
    config: RunConfig, say: Callable[[str], None], skip: frozenset[CheckpointId] = frozenset()
) -> RunConfig:
    """Say exactly which checkpoint the run begins with, and which history its own ones get.

    Args:
        config: the run's.
        say: hears of newer ones that are passed over.
        skip: those that turned out to be damaged.

    Raises ConfigError where nothing can be taken up, or a store cannot be read.
    """
    settings = config.checkpoint
    settings = dataclasses.replace(settings, url=absolute(settings.url), resume=absolute(settings.resume))
    if settings.resume and settings.resume_commit < 0:
        try:
            found, passed = newest_good(Store.open(settings.resume), skip=skip.__contains__)
        except ValueError as error:
            raise ConfigError(f"checkpoint.resume={settings.resume}: {error}") from None
        for one in passed:
            say(f"checkpoint {one.id.folder} is passed over: {one.problems[0] if one.problems else one.state.value}")
        say(f"going on from commit {found.id.commit} ({found.id.folder})")
        settings = dataclasses.replace(settings, resume_history=found.id.history, resume_commit=found.id.commit)
    if settings.resume and settings.resume_commit >= config.train.steps:
        raise ConfigError(
            f"checkpoint.resume: commit {settings.resume_commit} is not before train.steps={config.train.steps}."
        )
    if settings.url:
        try:
            before = next_history(Store.open(settings.url))
        except ValueError as error:
            raise ConfigError(f"checkpoint.url={settings.url}: {error}") from None
        settings = dataclasses.replace(settings, history=max(before, settings.resume_history + 1, settings.history))
    return dataclasses.replace(config, checkpoint=settings)


def unusable(config: RunConfig, failure: str) -> CheckpointId | None:
    """The checkpoint that a run failed to begin with; None when that is not why it failed."""
    settings = config.checkpoint
    match = _UNUSABLE.search(failure)
    if not settings.resume or match is None or int(match[1]) != settings.resume_commit:
        return None
    if failure[match.end() :].startswith(STORE_FAILS):
        return None
    return CheckpointId(settings.resume_history, settings.resume_commit)
