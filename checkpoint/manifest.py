"""The manifest: what makes a checkpoint exist. Written last, read first.

It carries its own hash, which finds damage and not malice: who may write to the store may write another manifest.
Everything below it is bound by hashes: manifest -> index of every part -> blocks of every data file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from checkpoint.hashing import DIGEST_BYTES, digest
from checkpoint.names import MAX_COMMIT, MAX_HISTORY, MAX_STAGES, CheckpointId
from checkpoint.receipts import StageReceipt
from checkpoint.strict import Fields, JsonObject, Malformed, decode, encode

FORMAT, VERSION = "tessera-checkpoint", 1
MAX_MANIFEST_BYTES = 32 << 20
MAX_CONFIG_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """A whole checkpoint, without its tensors."""

    id: CheckpointId
    run: str
    """Id of the run that wrote it."""
    created: int
    """Seconds since 1970, by the clock of who committed it."""
    stages: tuple[StageReceipt, ...]
    """In order, 0 to stages - 1."""
    config: str
    """The run's config as text."""
    data_position: JsonObject = field(default_factory=dict)
    """Where in the data the next step begins."""
    random: JsonObject = field(default_factory=dict)
    """What later random choices depend on."""
    protocol: JsonObject = field(default_factory=dict)
    """State of the step protocol; nothing here looks into it."""
    layout: JsonObject = field(default_factory=dict)
    """What wrote it: stages, replicas, ZeRO stage, versions; for people, as every layout can read it."""

    @property
    def tensor_bytes(self) -> int:
        """Of all stages."""
        return sum(stage.tensor_bytes for stage in self.stages)

    def to_bytes(self) -> bytes:
        """Return the file's content. Raises Malformed (a ValueError) when it would be refused when read."""
        body: JsonObject = {
            "format": FORMAT,
            "version": VERSION,
            "history": self.id.history,
            "commit": self.id.commit,
            "run": self.run,
            "created": self.created,
            "stages": [stage.to_json() for stage in self.stages],
            "config": self.config,
            "data_position": self.data_position,
            "random": self.random,
            "protocol": self.protocol,
            "layout": self.layout,
        }
        data = encode(body | {"digest": digest(encode(body))})
        parse_manifest(data)
        return data


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest that `data` spells. Raises Malformed with what is wrong."""
    body = decode(data, MAX_MANIFEST_BYTES)
    fields = Fields(body, "the manifest")
    if fields.take("format") != FORMAT:
        raise Malformed("it is not the manifest of a checkpoint")
    version = fields.integer("version", 0, 1 << 31)
    if version != VERSION:
        raise Malformed(f"it has version {version}, and this program reads version {VERSION}")
    if fields.digest("digest", 2 * DIGEST_BYTES) != digest(encode({k: v for k, v in body.items() if k != "digest"})):
        raise Malformed("its content does not have the hash that it names")
    manifest = Manifest(
        id=CheckpointId(fields.integer("history", 0, MAX_HISTORY), fields.integer("commit", 0, MAX_COMMIT)),
        run=fields.text("run", 256),
        created=fields.integer("created", 0, 1 << 40),
        stages=fields.items("stages", MAX_STAGES, StageReceipt.from_json),
        config=fields.text("config", MAX_CONFIG_CHARACTERS),
        data_position=fields.object("data_position"),
        random=fields.object("random"),
        protocol=fields.object("protocol"),
        layout=fields.object("layout"),
    )
    fields.done()
    if not manifest.stages or [one.stage for one in manifest.stages] != list(range(len(manifest.stages))):
        raise Malformed("its stages are not 0, 1, 2, ... in order")
    return manifest
