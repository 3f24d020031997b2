"""What is put under load: a session in this process, or a V2 server; each takes many queries at a time."""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.console import printable
from core.errors import UserError, one_line
from core.records import UInt8Array
from models.graph.contract import IMAGES, PROBABILITIES
from models.runtimes.opening import open_model

N_IMAGES = 64
N_CONNECTIONS = 64
API_KEY_VARIABLE = "NETASSAY_API_KEY"
OK = 200
_TIMEOUT_S = 60.0

Done = Callable[[Any], None]


class Client(ABC):
    """Takes queries at any time and answers each once, by calling `done(query)` in one of its threads."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[int, Any, Done] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.n_failed = 0

    def start(self, n_threads: int) -> None:
        """Begin to answer."""
        self._threads = [threading.Thread(target=self._answer_all, daemon=True) for _ in range(n_threads)]
        for thread in self._threads:
            thread.start()

    def ask(self, image: int, query: Any, done: Done) -> None:
        """Classify image number `image`, then call `done(query)`."""
        self._waiting.put((image, query, done))

    def close(self) -> None:
        """Answer what is queued, then end the threads."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    @abstractmethod
    def _answer_all(self) -> None:
        """Answer queries until the queue gives None."""


class InProcess(Client):
    """A session, one run at a time; with `max_batch` above 1, queued images are run as one batch, as the server does."""

    def __init__(self, path: Path, threads: int | None, max_batch: int) -> None:
        super().__init__()
        self._classifier = open_model(path, threads=threads)
        card = self._classifier.card
        self._images_u8 = made_up(card.image_height, card.image_width)
        self._max_batch = max_batch
        self.start(1)

    def _answer_all(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self._max_batch and batch[-1] is not None and not self._waiting.empty():
                batch.append(self._waiting.get())
            asked = [one for one in batch if one is not None]
            if asked:
                self._classifier.run(self._images_u8[[image for image, _, _ in asked]])
            for _, query, done in asked:
                done(query)
            if len(asked) < len(batch):
                return


class Http(Client):
    """A model of a V2 server, one image per query, as bytes after the JSON; one connection per thread."""

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or "/v2/models/" not in parts.path or printable(url) != url or " " in url:
            raise UserError(f"{url} is not a model of a V2 server; name it as http://HOST:PORT/v2/models/NAME")
        self._address = parts.hostname, parts.port or 80
        self._requests = self._prepared(url.rstrip("/"), parts.path.rstrip("/"))
        self.start(N_CONNECTIONS)

    def _prepared(self, url: str, path: str) -> list[bytes]:
        """All bytes of the request for each image."""
        key = os.environ.get(API_KEY_VARIABLE)
        headers = {"X-API-Key": key} if key else {}
        height, width = _image_size(url, headers)
        images_u8 = made_up(height, width)
        tensor = {
            "name": IMAGES,
            "datatype": "UINT8",
            "shape": [1, height, width, 3],
            "parameters": {"binary_data_size": height * width * 3},
        }
        output = {"name": PROBABILITIES, "parameters": {"binary_data": True}}
        message = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
        sent = {
            "Host": f"{self._address[0]}:{self._address[1]}",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(message) + height * width * 3),
            "Inference-Header-Content-Length": str(len(message)),
            **headers,
        }
        head = f"POST {path}/infer HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
        return [head.encode() + message + image_u8.tobytes() for image_u8 in images_u8]

    def _answer_all(self) -> None:
        connection: socket.socket | None = None
        while (asked := self._waiting.get()) is not None:
            image, query, done = asked
            used_before = connection is not None
            status, connection = self._ask_over(connection, image)
            if status is None and used_before:  # servers may close idle connections
                status, connection = self._ask_over(None, image)
            self.n_failed += status != OK
            done(query)
        if connection is not None:
            connection.close()

    def _ask_over(self, connection: socket.socket | None, image: int) -> tuple[int | None, socket.socket | None]:
        """The status of the answer, and the connection for the next request; None for both if it broke."""
        try:
            if connection is None:
                connection = socket.create_connection(self._address, _TIMEOUT_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(self._requests[image])
            return read_status(connection), connection
        except OSError:
            if connection is not None:
                connection.close()
            return None, None


def read_status(connection: socket.socket) -> int:
    """The status of the next answer, which is read to its end; OSError if the connection ends before that."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
    left = (lengths or [0])[0] - len(body)
    while left > 0:
        left -= len(_some(connection))
    return int(lines[0].split()[1])


def _some(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise OSError("the server ended the connection")
    return part


def made_up(height: int, width: int) -> UInt8Array:
    """Noise in place of images: how long a network takes does not depend on what they show."""
    return np.random.default_rng(0).integers(0, 256, (N_IMAGES, height, width, 3), dtype=np.uint8)


def _image_size(url: str, headers: dict[str, str]) -> tuple[int, int]:
    """Height and width of the images that a server's model takes."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310
            (tensor,) = json.load(answer)["inputs"]
            _, height, width, channels = tensor["shape"]
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer too, and holds its socket
        raise UserError(
            f"{url} answers {error.code} {error.reason}; is the name right, and the key in ${API_KEY_VARIABLE}?"
        ) from error
    except OSError as error:
        cause = getattr(error, "reason", error)
        why = getattr(cause, "strerror", None) or one_line(cause)
        raise UserError(f"nothing answers at {url}: {why}; start it (python -m serve MODEL.onnx), or name another port") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{url} does not say what it takes: {one_line(error)}; is it served, and is the name right?") from error
    if (tensor["name"], tensor["datatype"], channels) != (IMAGES, "UINT8", 3):
        raise UserError(
            f"{url} takes {tensor['name']} {tensor['datatype']} {tensor['shape']}, not {IMAGES} UINT8 [-1, height, width, 3]"
        )
    return int(height), int(width)
