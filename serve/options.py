"""The options of `python -m serve`; imports nothing slow, because `--help` imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.files import real_path


@dataclass(frozen=True)
class Options:
    """The options of the server.

    models: contract files, each served under its name without extension; host, port: where to listen, port 0 for any free one;
    max_batch: most images per run and per request; max_delay_ms: how long a batch that is not full waits for more;
    max_waiting: most images in each model's queue; timeout_s: for a request, from its first byte to its answer;
    max_body_mb, max_megapixels: per request; api_key: key that requests must carry, None for no key; unsure_below: the top
    probability below which an answer is "not sure", if neither a run nor a model's card has a threshold; reload_every_s: how
    often files are checked for changes, 0 for never; thresholds: of a run, by the SHA-256 of the model file, or of all member
    files of a mean.
    """

    models: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    runtime: str = "cpu"
    threads: int | None = None
    max_batch: int = 64
    max_delay_ms: float = 0.0
    max_waiting: int = 1024
    timeout_s: float = 30.0
    max_body_mb: float = 32.0
    max_megapixels: float = 64.0
    api_key: str | None = None
    unsure_below: float = 0.0
    reload_every_s: float = 2.0
    access_log: bool = True
    thresholds: Mapping[frozenset[str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_waiting < self.max_batch:
            raise UserError(f"--max-waiting {self.max_waiting} is less than --max-batch {self.max_batch}; raise it")

    @property
    def max_body_bytes(self) -> int:
        """Bytes of one request's body, after decompression too."""
        return int(self.max_body_mb * 2**20)

    @property
    def max_pixels(self) -> int:
        """Pixels of one image file."""
        return int(self.max_megapixels * 1e6)


def names_of(models: tuple[Path, ...]) -> dict[str, Path]:
    """Each file by the name it is served under; UserError if two have the same."""
    named: dict[str, Path] = {}
    for path in models:
        if path.stem in named and real_path(named[path.stem]) != real_path(path):
            raise UserError(f"{named[path.stem]} and {path} would both be called {path.stem}; rename one")
        named[path.stem] = path
    return named
