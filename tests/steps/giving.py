"""A donor with commits to give, and a replica that is behind: what is offered between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors.averaging.reduce import Float32
from actors.steps.chunks import average_digest, digest
from actors.steps.context import Context, Update
from actors.steps.donor import Donor
from actors.steps.follower import Follower
from actors.steps.messages import Chunk, Get, Offer, Part, Want
from tests.steps.parts import STEP, clear, context, mail, vector

STATE = vector(1, 2, 3, 4, 5)
"""Chunks of two, two and one."""


def donor(replicas: int = 4, **changes: Any) -> tuple[Context, Donor]:
    """s0a, which holds the commit of the step, and may be asked by the other replicas of stage 0."""
    one = context("s0a", (replicas, 2), leader="s1a", **changes)
    return one, Donor(one)


def update(commit: int) -> Update:
    average = vector(commit, 0, commit)
    return Update(commit, average, 0.5, average_digest(average, 2), 2)


def commit(one: Context, made: Donor, number: int) -> None:
    """One more commit is decided, and applied here."""
    one.agreement.decision = replace(one.decision, step=number, slot=one.decision.slot + 1)
    one.held = number
    made.applied(update(number))


def state_offer(commit: int = STEP, era: int = 0) -> Offer:
    hashes = tuple(digest(part) for part in (STATE[:2], STATE[2:4], STATE[4:]))
    return Offer(Part.STATE, commit, era, hashes, "hash", 1.0, 1)


def average_offer(commit: int) -> Offer:
    made = update(commit)
    hashes = (digest(made.average[:2]), digest(made.average[2:]))
    return Offer(Part.AVERAGE, commit, 0, hashes, made.average_hash, 0.5, 2)


def offers(one: Context) -> list[tuple[str, Part, int]]:
    return [(to, offer.part, offer.commit) for to, offer in mail(one, Offer)]


def following(one: Context, made: Donor, *peers: str) -> None:
    """These peers have asked and got what was there."""
    for peer in peers:
        made.want(peer, Want(-1, 0))
    made.exported(STEP, STATE, "hash")
    clear(one)


def behind(replicas: int = 3, held: int = -1, **changes: Any) -> tuple[Context, Follower]:
    """s0a, whose shards hold nothing, or a commit before the one that the step needs."""
    one = context("s0a", (replicas, 2), leader="s1a", **changes)
    one.held = held
    made = Follower(one)
    made.built, made.state_length, made.gradient_length = True, len(STATE), 3
    return one, made


def asked(one: Context) -> list[tuple[str, Part, int, int]]:
    """Chunks that were asked for since the last `clear`."""
    return [(to, get.part, get.commit, get.chunk) for to, get in mail(one, Get)]


def chunk_of(offer: Offer, values: Float32, number: int) -> tuple[Chunk, Float32]:
    """A chunk of what was offered, cut in twos."""
    return Chunk(offer.part, offer.commit, number), values[2 * number : 2 * number + 2]


def give(made: Follower, peer: str, offer: Offer, values: Float32) -> None:
    """Offer something, and send all of it."""
    made.offer(peer, offer)
    for number in range(len(offer.chunks)):
        made.chunk(peer, *chunk_of(offer, values, number))
