"""Micro-batching as in Triton: all requests that wait when the model becomes free run together, up to a maximum.

docs/user_guide/batcher.md of github.com/triton-inference-server/server: no delay unless configured, requests in order,
a bounded queue. Everything but the run itself happens in the event loop, so no locks are needed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from core.errors import one_line
from core.records import UInt8Array
from models.runtimes.outputs import Outputs, check_shapes
from serve.errors import Refused


@dataclass(frozen=True)
class Answer:
    """Outputs for the images of one request; how long it waited, and how long the run of its batch, `batch_size` images, took."""

    outputs: Outputs
    queue_s: float
    compute_s: float
    batch_size: int


@dataclass(eq=False)
class Waiting:
    """One request in the queue."""

    images_u8: UInt8Array
    answer: asyncio.Future[Answer]
    arrived_s: float = field(default_factory=time.perf_counter)


class Machine:
    """The processor that all models of a process share: one run at a time, started from one thread, first come, first served.

    A run already uses every core; two at once would compete for them.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.turn = asyncio.Lock()


class Batcher:
    """The queue of one model.

    run: computes the outputs of one batch; max_batch, max_waiting: images, of a run and in the queue; ran(batch_size, compute_s)
    is called after each run, with its number of images.
    """

    def __init__(
        self,
        run: Callable[[UInt8Array], Outputs],
        machine: Machine,
        *,
        max_batch: int,
        max_waiting: int,
        n_classes: int,
        name: str,
        max_delay_s: float = 0.0,
        ran: Callable[[int, float], None] = lambda *_: None,
    ) -> None:
        self._run, self._machine, self._ran = run, machine, ran
        self._max_batch, self._max_waiting, self._max_delay_s = max_batch, max_waiting, max_delay_s
        self._n_classes, self._name = n_classes, name
        self._queue: OrderedDict[Waiting, None] = OrderedDict()
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self.n_waiting = 0  # images

    def start(self) -> None:
        """Begin to run what is submitted; needs a running event loop."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Run all waiting requests, then end."""
        while self._queue:
            await asyncio.sleep(0.01)
        async with self._machine.turn:  # the last batch has been answered
            pass
        if self._worker is not None:
            self._worker.cancel()

    def submit(self, images_u8: UInt8Array) -> asyncio.Future[Answer]:
        """A future of the answer; cancelling it removes the request from the queue. Refused (503) if the queue is full."""
        if self.n_waiting + len(images_u8) > self._max_waiting:
            raise Refused(503, f"{self.n_waiting} images wait for model {self._name!r}; try again later", retry_after_s=1)
        waiting = Waiting(images_u8, asyncio.get_running_loop().create_future())
        waiting.answer.add_done_callback(lambda _: self._leave(waiting))
        self._queue[waiting] = None
        self.n_waiting += len(images_u8)
        self._arrival.set()
        return waiting.answer

    def _leave(self, waiting: Waiting) -> None:
        if waiting in self._queue:
            del self._queue[waiting]
            self.n_waiting -= len(waiting.images_u8)

    async def _work(self) -> None:
        while True:
            self._arrival.clear()
            if not self._queue:
                await self._arrival.wait()
            if self._max_delay_s:
                await self._wait_for_more()
            async with self._machine.turn:
                batch = self._take()  # only now, to include requests that came while another model ran
                if batch:
                    await self._answer(batch)

    async def _wait_for_more(self) -> None:
        """Return when a batch is full, or the oldest request has waited for the maximum delay."""
        while self._queue and self.n_waiting < self._max_batch:
            left_s = next(iter(self._queue)).arrived_s + self._max_delay_s - time.perf_counter()
            if left_s <= 0:
                return
            self._arrival.clear()
            try:
                await asyncio.wait_for(self._arrival.wait(), left_s)
            except TimeoutError:
                return

    def _take(self) -> list[Waiting]:
        """Remove from the queue the oldest requests that fit into one batch."""
        batch: list[Waiting] = []
        n_images = 0
        while self._queue:
            waiting = next(iter(self._queue))
            n_images += len(waiting.images_u8)
            if batch and n_images > self._max_batch:
                break
            self._leave(waiting)
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        started_s = time.perf_counter()
        try:
            outputs = await asyncio.get_running_loop().run_in_executor(self._machine.executor, self._run_together, batch)
        except Exception as error:  # each runtime raises its own unrelated classes
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(Refused(500, f"model {self._name!r} failed: {one_line(error)}"))
            return
        compute_s = time.perf_counter() - started_s
        n_images = len(outputs.logits)
        first = 0
        for waiting in batch:
            rows = slice(first, first := first + len(waiting.images_u8))
            if not waiting.answer.done():
                own = Outputs(outputs.logits[rows], outputs.probabilities[rows])
                waiting.answer.set_result(Answer(own, started_s - waiting.arrived_s, compute_s, n_images))
        self._ran(n_images, compute_s)

    def _run_together(self, batch: Sequence[Waiting]) -> Outputs:
        """In the executor's thread: the outputs for all images of a batch, checked for shape and finiteness."""
        together = batch[0].images_u8 if len(batch) == 1 else np.concatenate([waiting.images_u8 for waiting in batch])
        outputs = self._run(together)
        check_shapes(outputs, len(together), self._n_classes, self._name)
        return outputs


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, … and `most`."""
    return sorted({2**power for power in range(int(math.log2(most)) + 1)} | {most})
