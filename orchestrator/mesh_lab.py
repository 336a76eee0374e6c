"""A mesh of real processes on loopback, to kill, freeze, cut and watch."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from actors.transport.identity import Identity, Owner

ROOT = Path(__file__).resolve().parents[1]
START_S = 120.0


class Member:
    """One process, and what it said."""

    def __init__(self, name: str, folder: Path, run_id: str, profile: str, stage: int, inbox: queue.Queue[str]) -> None:
        self.name = name
        self.address = ""
        self.peer = ""
        self.said: list[dict[str, Any]] = []
        """Everything it said, in order."""
        self._inbox = inbox
        command = [sys.executable, "-m", "orchestrator.mesh_process", str(folder), run_id, profile, str(stage)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if said["event"] == "listening":
                self.address, self.peer = said["address"], said["peer"]
            self.said.append(said)
            self._inbox.put(self.name)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self.process.poll() is None

    def order(self, do: str, **values: Any) -> None:
        """Send an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> float:
        """Send a signal; returns when."""
        os.kill(self.process.pid, number)
        return time.monotonic()

    def when(self, name: str, what: str, since: float) -> float | None:
        """When it first said after `since` that this happened to a member."""
        for said in list(self.said):
            if said["event"] == "changed" and said["name"] == name and said["what"] == what and said["t"] >= since:
                return float(said["t"])
        return None

    def noted(self, kind: str, since: float) -> float | None:
        """When it first told a person something of that kind after `since`."""
        for said in list(self.said):
            if said["event"] == "note" and said["kind"] == kind and said["t"] >= since:
                return float(said["t"])
        return None

    def end(self) -> None:
        """Kill it and take its pipes down."""
        if self.alive:
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class MeshLab:
    """Members of one run; use it as a context manager."""

    def __init__(self, folder: Path, profile: str, run_id: str = "mesh-lab") -> None:
        self._folder, self._profile, self._run_id = folder, profile, run_id
        self._owner = Owner.create(folder / "owner")
        self._inbox: queue.Queue[str] = queue.Queue()
        self.members: dict[str, Member] = {}

    def __enter__(self) -> MeshLab:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.end()

    @property
    def alive(self) -> list[Member]:
        """Members whose process is there."""
        return [member for member in self.members.values() if member.alive]

    def start(self, names: Iterable[str], stage: Callable[[int], int] = lambda number: 0) -> list[Member]:
        """Start processes and wait until they listen; a name that was there before comes back with its identity."""
        started = []
        for number, name in enumerate(names):
            folder = self._folder / name
            identity = Identity.load_or_create(folder)
            if not identity.has_certificate:
                identity.install(self._owner.issue(identity.public_key, name, self._run_id), self._owner.ca_pem)
            if name in self.members:
                self.members[name].end()
            self.members[name] = Member(name, folder, self._run_id, self._profile, stage(number), self._inbox)
            started.append(self.members[name])
        self.wait(lambda: all(member.address for member in started), START_S, "members that listen")
        return started

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until something that members say makes it true; returns the time. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {seconds:.0f} s for {what}")
            try:
                self._inbox.get(timeout=min(left, 1.0))
            except queue.Empty:
                continue
        return time.monotonic()

    def form(self, names: list[str]) -> list[Member]:
        """Start a mesh: everyone joins through the first one; returns when all views are equal."""
        members = self.start(names)
        for member in members[1:]:
            member.order("join", addresses=[members[0].address])
        self.agree(members, START_S)
        return members

    def statuses(self, members: list[Member], seconds: float = 30.0) -> list[dict[str, Any]]:
        """What each says of the mesh now."""
        since = time.monotonic()
        for member in members:
            member.order("status")

        def newest(member: Member) -> dict[str, Any] | None:
            if member.said and member.said[-1]["event"] == "status" and member.said[-1]["t"] >= since:
                return member.said[-1]
            found = [said for said in list(member.said) if said["event"] == "status" and said["t"] >= since]
            return found[-1] if found else None

        self.wait(lambda: all(newest(member) for member in members), seconds, "answers")
        return [found for member in members if (found := newest(member)) is not None]

    def agree(self, members: list[Member], seconds: float) -> float:
        """Wait until these members, and only these, are in the view of each of them; returns the time."""
        until = time.monotonic() + seconds
        names = {member.name for member in members}
        while True:
            answers = self.statuses(members)
            views = {answer["view"] for answer in answers}
            here = [
                {name for name, state in answer["states"].items() if state not in ("dead", "left")}
                for answer in answers
            ]
            if len(views) == 1 and all(one == names for one in here):
                return time.monotonic()
            if time.monotonic() > until:
                raise TimeoutError(f"after {seconds:.0f} s there are views {sorted(views)} of {sorted(map(len, here))}")
            time.sleep(0.1)

    def dead_for_all(self, names: Iterable[str], since: float, seconds: float) -> float:
        """Wait until every living member holds these dead; returns the seconds it took the last one."""
        gone = set(names)
        survivors = [member for member in self.alive if member.name not in gone]
        last = 0.0
        for name in gone:
            self.wait(
                lambda name=name: all(member.when(name, "dead", since) for member in survivors),  # type: ignore[misc]
                seconds,
                f"the death of {name} to be known by all",
            )
            last = max(last, *(member.when(name, "dead", since) or 0.0 for member in survivors))
        return last - since

    def deaths(self, since: float) -> list[tuple[str, str]]:
        """(who said it, who is dead) since then."""
        return [
            (member.name, said["name"])
            for member in self.members.values()
            for said in list(member.said)
            if said["event"] == "changed" and said["what"] == "dead" and said["t"] >= since
        ]

    def cut(self, one: list[Member], other: list[Member]) -> float:
        """Nothing passes between the two groups."""
        for here, there in ((one, other), (other, one)):
            for member in here:
                member.order("block", peers=[peer.peer for peer in there])
        return time.monotonic()

    def heal(self) -> float:
        """Everything passes."""
        for member in self.alive:
            member.order("block", peers=[])
        return time.monotonic()


def freeze(member: Member) -> float:
    """Stop a process where it stands."""
    return member.signal(signal.SIGSTOP)


def thaw(member: Member) -> float:
    """Let it go on."""
    return member.signal(signal.SIGCONT)
