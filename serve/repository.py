"""The served models: each opened and checked, with its queue and statistics, and reloaded if its file changes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError, one_line
from core.files import sha256_of_file
from models.card import ModelCard
from models.runtimes.base import Classifier
from models.runtimes.opening import open_model
from serve.batching import Answer, Batcher, Machine
from serve.errors import Refused
from serve.monitoring import Metrics, Statistics, log_line
from serve.options import Options, names_of
from serve.v2.messages import VERSION, Signature

CHECK_IMAGES = 3
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Served:
    """A model as it is served now; `stamp` and `sha256` identify this version of its file."""

    classifier: Classifier
    card: ModelCard
    sha256: str
    signature: Signature
    batcher: Batcher
    stamp: Stamp


class Repository:
    """All models by name.

    Opening one checks it: UserError from `open_checked` for a file that cannot be served.
    """

    def __init__(self, options: Options, metrics: Metrics) -> None:
        self.options, self.metrics = options, metrics
        self.paths = names_of(options.models)
        self._stamps = {name: stamp_of(path) for name, path in self.paths.items()}  # before the files are read
        self.classifiers = {name: open_checked(path, options) for name, path in self.paths.items()}
        self.statistics = {name: Statistics() for name in self.paths}
        self._served: dict[str, Served] = {}
        self._executor: ThreadPoolExecutor | None = None

    @property
    def names(self) -> list[str]:
        """The models' names, in the order given."""
        return list(self.paths)

    def start(self) -> None:
        """Begin to serve; needs a running event loop."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.machine = Machine(self._executor)
        for name, classifier in self.classifiers.items():
            self._serve(name, classifier, self._stamps[name])

    async def stop(self) -> None:
        """Answer all waiting requests, then end."""
        for served in self._served.values():
            await served.batcher.stop()
        self._served.clear()
        if self._executor is not None:
            self._executor.shutdown()

    @property
    def is_ready(self) -> bool:
        """Whether every model accepts requests."""
        return set(self._served) == set(self.paths)

    def get(self, name: str, version: str | None = None) -> Served:
        """The model; Refused (404) if there is none of that name and version."""
        if name not in self._served:
            raise Refused(404, f"Request for unknown model: {name!r} is not found")
        if version not in (None, VERSION):
            raise Refused(404, f"Request for unknown model: {name!r} version {version} is not found")
        return self._served[name]

    async def infer(self, served: Served, images_u8: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], timeout_s: float) -> Answer:
        """The answer for the images of one request; cancelling this removes the request from the queue.

        Raises Refused: 503 if the queue is full, 504 after `timeout_s`, 500 if the model fails.
        """
        name, loop = served.signature.name, asyncio.get_running_loop()
        arrived_s = loop.time()
        # The model may have been reloaded while the request's body arrived: the old model's queue is closed by now.
        batcher = self._served.get(name, served).batcher
        try:
            answer = await asyncio.wait_for(batcher.submit(images_u8), timeout_s)
        except TimeoutError:
            self._failed(name, 504, loop.time() - arrived_s)
            raise Refused(504, f"model {name!r} had no answer after {timeout_s:g} s") from None
        except Refused as refused:
            self._failed(name, refused.status, loop.time() - arrived_s)
            raise
        except asyncio.CancelledError:
            self._failed(name, 499, loop.time() - arrived_s)
            raise
        self.statistics[name].answered(len(images_u8), loop.time() - arrived_s, answer)
        self.metrics.images.labels(name).inc(len(images_u8))
        self.metrics.queue_s.labels(name).observe(answer.queue_s)
        return answer

    async def watch_files(self) -> None:
        """Reload a changed file once it has stopped changing."""
        seen = dict(self._stamps)
        while True:
            await asyncio.sleep(self.options.reload_every_s)
            for name, path in self.paths.items():
                before, seen[name] = seen[name], stamp_of(path)
                if seen[name] == before and before not in (self._stamps[name], (0, 0, 0)):
                    self._stamps[name] = before
                    await self.reload(name)

    async def reload(self, name: str) -> None:
        """Serve the file's present content; if it fails its check, keep the old model and log why."""
        stamp = self._stamps[name]
        try:
            classifier = await asyncio.to_thread(open_checked, self.paths[name], self.options)
            _check_alike(self._served[name].card, classifier.card, self.paths[name])
        except UserError as error:
            self.metrics.reloads.labels(name, "failed").inc()
            log_line(event="reload", model=name, outcome="failed", error=str(error))
            return
        before = self._served[name]
        self._serve(name, classifier, stamp)
        self.metrics.reloads.labels(name, "done").inc()
        log_line(event="reload", model=name, outcome="done")
        await before.batcher.stop()

    def _serve(self, name: str, classifier: Classifier, stamp: Stamp) -> None:
        card, options = classifier.card, self.options
        signature = Signature(name, card.class_names, card.image_height, card.image_width, options.max_batch)
        batcher = Batcher(
            classifier.run,
            self.machine,
            max_batch=options.max_batch,
            max_waiting=options.max_waiting,
            max_delay_s=options.max_delay_ms / 1000,
            n_classes=len(card.class_names),
            name=name,
            ran=lambda batch_size, compute_s: self._ran(name, batch_size, compute_s),
        )
        batcher.start()
        self.metrics.of_waiting(name, lambda: batcher.n_waiting)
        self._served[name] = Served(classifier, card, sha256_of_file(self.paths[name]), signature, batcher, stamp)

    def _ran(self, name: str, batch_size: int, compute_s: float) -> None:
        self.statistics[name].ran(batch_size, compute_s)
        self.metrics.batch_size.labels(name).observe(batch_size)
        self.metrics.compute_s.labels(name).observe(compute_s)

    def _failed(self, name: str, status: int, after_s: float) -> None:
        self.statistics[name].fail.add(after_s)
        self.metrics.refused.labels(name, status).inc()


def open_checked(path: Path, options: Options) -> Classifier:
    """The model, after checks: outputs are finite, the same alone and in a batch, and probabilities the softmax of logits.

    The largest batch size is run too, so that too little memory is noticed now.
    """
    classifier = open_model(path, options.runtime, threads=options.threads)
    card = classifier.card
    random = np.random.default_rng(0)
    shape = (card.image_height, card.image_width, 3)
    classifier.predict(random.integers(0, 256, (CHECK_IMAGES, *shape), dtype=np.uint8))
    try:
        classifier.run(np.zeros((options.max_batch, *shape), np.uint8))
    except Exception as error:  # each runtime raises its own unrelated classes
        raise UserError(f"{path} fails on {options.max_batch} images: {one_line(error, 160)}; lower --max-batch") from error
    return classifier


def stamp_of(path: Path) -> Stamp:
    """Modification time, size and inode of a file, to detect a change; zeros if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _check_alike(now: ModelCard, new: ModelCard, path: Path) -> None:
    """UserError if clients of the old model would misinterpret the new one's answers."""
    if new.class_names != now.class_names or (new.image_height, new.image_width) != (now.image_height, now.image_width):
        raise UserError(f"{path} has other classes or another image size than the model that is served; restart to serve it")
