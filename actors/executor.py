"""Executes what the step protocol wants: gives each effect to the part of the participant whose work it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.checkpointing import Checkpointing
from actors.journal import Journal
from actors.mesh import Mesh
from actors.peers import Peers
from actors.stable_storage import StableStorage
from actors.steps import effects
from actors.workshop import Workshop


class Executor:
    """Effects have to come in the protocol's order: a vote is on disk before the message that tells it is sent.

    Args:
        mesh: is told of doubts, of the own speed, and of the own departure.
        peers: get the messages.
        workshop: computes, and does all else that shards do.
        storage: keeps votes.
        checkpointing: has the run's store.
        journal: is told what a person should know, and how the run ended here.
        serve: called with the number of the stage that is ours from now on.
        spawn: runs a task until the participant closes.
    """

    def __init__(
        self,
        mesh: Mesh,
        peers: Peers,
        workshop: Workshop,
        storage: StableStorage,
        checkpointing: Checkpointing,
        journal: Journal,
        serve: Callable[[int], None],
        spawn: Callable[[Any], None],
    ) -> None:
        self._mesh, self._peers, self._workshop, self._storage = mesh, peers, workshop, storage
        self._checkpointing, self._journal, self._serve, self._spawn = checkpointing, journal, serve, spawn

    def do(self, effect: effects.Effect) -> None:
        """Do it, or begin it where it takes time: then an event answers it."""
        match effect:
            case effects.Send(to, message, payload):
                if not self._storage.stale:
                    self._peers.send(to, message, payload)
            case effects.KeepVote(vote):
                self._storage.keep(vote)
            case effects.Compute(job):
                self._workshop.compute(job)
            case effects.RestartShards(reason):
                self._workshop.restart(reason)
            case effects.ListCheckpoints():
                self._spawn(self._checkpointing.list_whole())
            case effects.CommitCheckpoint():
                self._spawn(self._checkpointing.commit(effect))
            case effects.Doubt(peer, reason):
                self._mesh.hint(peer, reason)
            case effects.Note(kind, detail):
                self._journal.note(kind, detail)
            case effects.Committed(record):
                self._journal.records.append(record)
                if speed := record.throughput.get(self._mesh.core.record.name):
                    self._mesh.tell_throughput(speed)
            case effects.Serve(stage):
                self._serve(stage)
            case effects.Departed(reason):
                self._depart(reason)
            case effects.Failed(reason, stopped):
                self._journal.failed(reason, stopped=stopped)
            case effects.Finished():
                self._journal.finished()
            case _:
                self._workshop.do(effect)

    def _depart(self, reason: str) -> None:
        """We are out of the committed view: say goodbye to the mesh."""
        self._journal.note("left", reason)
        self._storage.forget()
        self._journal.left()
        self._peers.leave()
        self._spawn(self._mesh.leave())
