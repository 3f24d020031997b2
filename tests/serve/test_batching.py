"""Micro-batching: the rule by which requests are run together, with a model that waits until it is told to go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.runtimes.outputs import Outputs
from serve.batching import Batcher, Machine, powers_of_two
from serve.errors import Refused


class Model:
    """Gives each image back as its logits, and keeps the sizes of its batches; runs only while `open` is set."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.fails = False

    def __call__(self, images_u8) -> Outputs:
        self.entered.release()
        assert self.open.wait(60)
        self.sizes.append(len(images_u8))
        if self.fails:
            raise RuntimeError("out of memory")
        logits = images_u8.reshape(len(images_u8), -1).astype(np.float32)
        return Outputs(logits, logits)


def images(*values: int) -> np.ndarray:
    """One image of one grey pixel for each value."""
    return np.repeat(np.array(values, np.uint8), 3).reshape(-1, 1, 1, 3)


def run(test: Callable[[Batcher, Model], Awaitable[None]], **settings: object) -> Model:
    """A test with a batcher for at most 4 images at once and 8 waiting ones."""
    model = Model()

    async def with_batcher() -> None:
        with ThreadPoolExecutor(1) as executor:
            options = {"max_batch": 4, "max_waiting": 8, "n_classes": 3, "name": "grey", **settings}
            batcher = Batcher(model, Machine(executor), **options)
            batcher.start()
            try:
                await test(batcher, model)
            finally:
                model.open.set()
                await batcher.stop()

    asyncio.run(with_batcher())
    return model


async def busy(batcher: Batcher, model: Model) -> asyncio.Future:
    """The answer to a first request that is being run and does not end until `model.open` is set."""
    model.open.clear()
    first = batcher.submit(images(99))
    await asyncio.to_thread(model.entered.acquire)
    return first


def test_what_waits_is_run_together_in_order_up_to_the_maximum() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        others = [batcher.submit(images(*values)) for values in ([1], [2, 3], [4], [5, 6, 7], [8])]
        model.open.set()
        answers = await asyncio.gather(first, *others)
        got = [[int(row[0]) for row in answer.outputs.logits] for answer in answers]
        assert got == [[99], [1], [2, 3], [4], [5, 6, 7], [8]]
        assert [answer.batch_size for answer in answers] == [1, 4, 4, 4, 4, 4]

    assert run(test).sizes == [1, 4, 4]


def test_a_single_request_does_not_wait_for_others() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        for value in (1, 2, 3):
            await batcher.submit(images(value))

    assert run(test).sizes == [1, 1, 1]


def test_with_a_delay_a_batch_waits_until_it_is_full() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        answers = []
        for value in (1, 2, 3, 4):
            answers.append(batcher.submit(images(value)))
            await asyncio.sleep(0)
        await asyncio.gather(*answers)

    assert run(test, max_delay_s=3600).sizes == [4]


def test_a_delay_ends() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        await batcher.submit(images(1))

    assert run(test, max_delay_s=0.001).sizes == [1]


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        waiting = [batcher.submit(images(1, 2, 3, 4)), batcher.submit(images(1, 2, 3, 4))]
        with pytest.raises(Refused, match="8 images wait") as refused:
            batcher.submit(images(5))
        assert (refused.value.status, refused.value.retry_after_s) == (503, 1)
        model.open.set()
        await asyncio.gather(first, *waiting)
        await batcher.submit(images(5))  # and then there is room again

    run(test)


def test_a_cancelled_request_is_never_run_and_makes_room() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        gone = batcher.submit(images(1, 2, 3, 4))
        stays = batcher.submit(images(5, 6))
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.n_waiting == 2
        model.open.set()
        await asyncio.gather(first, stays)

    assert run(test).sizes == [1, 2]


def test_a_run_that_fails_answers_each_of_its_requests_and_ends_nothing() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        model.fails = True
        for _ in range(2):
            with pytest.raises(Refused, match="'grey' failed: out of memory") as refused:
                await batcher.submit(images(1))
            assert refused.value.status == 500
        model.fails = False
        await batcher.submit(images(1))

    run(test)


def test_outputs_that_are_not_finite_are_a_failure() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        with pytest.raises(Refused, match="shape"):
            await batcher.submit(images(1))

    run(test, n_classes=4)


def test_stopping_answers_what_waits() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        second = batcher.submit(images(1))
        stopping = asyncio.create_task(batcher.stop())
        model.open.set()
        await stopping
        assert first.done() and second.done()

    run(test)


def test_two_models_take_turns_on_one_machine() -> None:
    async def test() -> None:
        running, most = 0, 0
        lock = threading.Lock()

        def model(images_u8) -> Outputs:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            logits = images_u8.reshape(len(images_u8), -1).astype(np.float32)
            with lock:
                running -= 1
            return Outputs(logits, logits)

        with ThreadPoolExecutor(4) as executor:
            machine = Machine(executor)
            settings = {"max_batch": 2, "max_waiting": 100, "n_classes": 3}
            batchers = [Batcher(model, machine, name=name, **settings) for name in "ab"]
            for batcher in batchers:
                batcher.start()
            await asyncio.gather(*[batcher.submit(images(1)) for _ in range(50) for batcher in batchers])
            for batcher in batchers:
                await batcher.stop()
        assert most == 1

    asyncio.run(test())


@pytest.mark.parametrize(("most", "steps"), [(1, [1]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])])
def test_powers_of_two(most: int, steps: list[int]) -> None:
    assert powers_of_two(most) == steps
