"""The same on a disk, in memory, and on a server that speaks S3."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkpoint.catalogue import State, catalogue, newest_good
from checkpoint.errors import StoreError
from checkpoint.names import CheckpointId
from checkpoint.retention import RetentionPolicy, clean_up
from checkpoint.retry import Retry
from checkpoint.store import Store
from tests.checkpoint.world import IMPATIENT, assert_newest_is_whole, save, write

FIRST, SECOND = CheckpointId(0, 1), CheckpointId(0, 2)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of an S3-compatible server in this process."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as patch:
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs/a-run"
        server.stop()


@pytest.fixture(params=["disk", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL for each kind of store."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return f"file://{tmp_path}/deep/er" if request.param == "disk" else f"memory://{tmp_path.name}"


def test_a_checkpoint_lives_and_goes_in_every_store(url: str) -> None:
    store = Store.open(url, IMPATIENT)
    assert catalogue(store) == []
    save(store, FIRST)
    write(store, CheckpointId(0, 0), 1, 1, "left-over")
    save(store, SECOND)
    assert assert_newest_is_whole(store) == SECOND
    assert [one.state for one in catalogue(store)] == [State.GOOD, State.GOOD, State.UNFINISHED]
    removal = clean_up(store, RetentionPolicy(last=1, grace_s=-3600.0), now=0.0)
    assert removal.removed == (FIRST,)
    assert removal.swept == (CheckpointId(0, 0),)
    again = Store.open(url)
    assert [one.id for one in catalogue(again)] == [SECOND]
    assert newest_good(again, deep=True)[0].id == SECOND


@pytest.mark.parametrize("url", ["nonsense://x/y", "s3:/", "memory"])
def test_a_url_without_meaning_is_one_sentence_or_a_folder(url: str) -> None:
    try:
        store = Store.open(url)
    except StoreError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(store, Store)


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match=r"writing .* failed"):
        save(Store.open(f"{blocked}/below", IMPATIENT), FIRST)


def test_waits_grow_and_end() -> None:
    waits: list[float] = []
    retry = Retry(attempts=6, first_s=1.0, longest_s=5.0, sleep=waits.append)
    assert [retry.wait(failures) for failures in range(1, 7)] == [True] * 5 + [False]
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
