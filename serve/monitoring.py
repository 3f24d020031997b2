"""Monitoring: Prometheus metrics under /metrics, a model's statistics for V2 clients, and a JSON line per request."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from core.errors import UserError
from serve.batching import Answer, powers_of_two

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


@dataclass
class Total:
    """A count and a total duration in nanoseconds, as in the protocol's statistics."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one event of this duration."""
        self.count += 1
        self.ns += int(seconds * 1e9)

    def as_json(self) -> dict[str, int]:
        """The protocol's JSON."""
        return {"count": self.count, "ns": self.ns}


@dataclass
class Statistics:
    """Statistics of one model since the server started, for `GET v2/models/NAME/stats`; used only in the event loop's thread."""

    n_images: int = 0
    n_runs: int = 0
    last_inference_ms: int = 0
    success: Total = field(default_factory=Total)
    fail: Total = field(default_factory=Total)
    queue: Total = field(default_factory=Total)
    infer: Total = field(default_factory=Total)
    batches: dict[int, Total] = field(default_factory=dict)

    def answered(self, n_images: int, total_s: float, answer: Answer) -> None:
        """A request got its answer, `total_s` after it had been read."""
        self.n_images += n_images
        self.last_inference_ms = int(time.time() * 1000)
        self.success.add(total_s)
        self.queue.add(answer.queue_s)
        self.infer.add(answer.compute_s)

    def ran(self, batch_size: int, compute_s: float) -> None:
        """A batch was run."""
        self.n_runs += 1
        self.batches.setdefault(batch_size, Total()).add(compute_s)

    def as_json(self, name: str, version: str) -> dict[str, Any]:
        """As Triton's extension_statistics.md describes it; reading a request and writing an answer are not timed."""
        none = Total().as_json()
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.n_images,
            "execution_count": self.n_runs,
            "inference_stats": {
                "success": self.success.as_json(),
                "fail": self.fail.as_json(),
                "queue": self.queue.as_json(),
                "compute_input": none,
                "compute_infer": self.infer.as_json(),
                "compute_output": none,
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [
                {"batch_size": size, "compute_input": none, "compute_infer": total.as_json(), "compute_output": none}
                for size, total in sorted(self.batches.items())
            ],
        }


class Metrics:
    """Counters and histograms in a registry of their own, so that a process may hold several servers."""

    def __init__(self, max_batch: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and few read them
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry, namespace="netassay")
        histogram = partial(Histogram, registry=self.registry, namespace="netassay")
        by_model = ("model",)
        self.requests = counter("http_requests", "Requests answered", ("path", "method", "status"))
        self.request_s = histogram("http_request_seconds", "From request to answer", ("path",), buckets=SECONDS)
        self.images = counter("images", "Images classified", by_model)
        self.batch_size = histogram("batch_size", "Images of a run", by_model, buckets=powers_of_two(max_batch))
        self.queue_s = histogram("queue_seconds", "How long requests waited", by_model, buckets=SECONDS)
        self.compute_s = histogram("compute_seconds", "How long runs took", by_model, buckets=SECONDS)
        self.refused = counter("refused", "Requests without an answer", ("model", "status"))
        self.reloads = counter("reloads", "Changed files", ("model", "outcome"))
        self.waiting = Gauge("waiting_images", "Images in the queue", by_model, registry=self.registry, namespace="netassay")

    def of_waiting(self, model: str, n_waiting: Callable[[], int]) -> None:
        """Ask `n_waiting` whenever the metrics are read."""
        self.waiting.labels(model).set_function(n_waiting)

    def page(self) -> tuple[bytes, str]:
        """The text that Prometheus reads, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def log_line(**fields: Any) -> None:
    """One line of JSON on stdout, with the time in front; fields that are None are left out.

    Where stdout cannot be written, one line on stderr says so, and the lines are lost from then on: an answer must not fail for it.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **known}, ensure_ascii=False)
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except UserError as error:  # raised once, by `core.console`: stdout leads nowhere from then on
        with contextlib.suppress(UserError):  # stderr may be on the same full disk
            print(f"note: the access log is not written any more: {error}, and start the server again", file=sys.stderr, flush=True)
