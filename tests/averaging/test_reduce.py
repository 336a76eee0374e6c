"""All-reduce in chunks: any order of arrival gives every replica the same bits."""

from __future__ import annotations

import random

import numpy as np
import pytest

from actors.averaging import reduce
from actors.averaging.reduce import AllReduce, chunk_length, chunk_size


@pytest.mark.parametrize(("replicas", "length"), [(1, 5), (2, 1), (2, 1000), (3, 1001), (4, 50), (5, 3)])
def test_all_replicas_get_the_same_sum_in_any_order(
    replicas: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce, "CHUNK", 64)
    for seed in range(10):
        rng, order = np.random.default_rng(seed), random.Random(seed)
        group = [f"peer{i}" for i in range(replicas)]
        values = {peer: rng.normal(size=length).astype(np.float32) for peer in group}
        rounds = {peer: AllReduce(group, peer, values[peer]) for peer in group}
        mail = [(peer, out) for peer in group for out in rounds[peer].start()]
        while mail:
            sender, out = mail.pop(order.randrange(len(mail)))
            mail += [(out.to, more) for more in rounds[out.to].receive(sender, out.phase, out.chunk, out.values)]
            if order.random() < 0.2:
                assert rounds[out.to].receive(sender, out.phase, out.chunk, out.values) == []
        assert all(round_.complete and not round_.missing() for round_ in rounds.values())
        first = rounds[group[0]]
        assert len({round_.digest for round_ in rounds.values()}) == 1
        assert all(np.array_equal(round_.average, first.average) for round_ in rounds.values())
        np.testing.assert_allclose(first.average, sum(values.values()), rtol=1e-5, atol=1e-5)
        assert first.sum_of_squares == pytest.approx(float(np.sum(first.average.astype(np.float64) ** 2)))


def test_what_does_not_fit_changes_nothing() -> None:
    group = ["a", "b"]
    round_ = AllReduce(group, "a", np.ones(10, np.float32))
    round_.start()
    from actors.steps.messages import Phase

    assert round_.receive("stranger", Phase.SCATTER, 0, np.ones(5, np.float32)) == []
    assert round_.receive("b", Phase.SCATTER, 0, np.ones(4, np.float32)) == []
    assert round_.receive("b", Phase.SCATTER, 99, np.ones(5, np.float32)) == []
    assert round_.receive("b", Phase.GATHER, 0, np.ones(5, np.float32)) == []
    assert round_.missing() == ["b"]


def test_chunks_cover_the_vector() -> None:
    for length in (1, 7, 100, 1 << 20):
        for replicas in (1, 2, 3, 8):
            size = chunk_size(length, replicas)
            lengths = [chunk_length(length, replicas, chunk) for chunk in range(-(-length // size) + 1)]
            assert lengths[-1] is None
            assert sum(part or 0 for part in lengths) == length
