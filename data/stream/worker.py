"""Decodes images for `data.stream.decoding`: a job names the places, the answer is a line of JSON and the pixels."""

from __future__ import annotations

import json

from core.launch.pool import answer_jobs
from data.decode import decode_here
from data.stream.parts import place_of


def decode(job: bytes) -> bytes:
    """The images of one job."""
    asked = json.loads(job)
    places = [place_of(value) for value in asked["places"]]
    found = decode_here(places, tuple(asked["size"]), asked["resize"], n_threads=1)
    damaged = [(places.index(one.path), one.reason, str(one)) for one in found.damaged]
    head = {"sizes": found.sizes, "read": found.read, "damaged": damaged}
    return json.dumps(head).encode() + b"\n" + found.images_u8.tobytes()


if __name__ == "__main__":
    answer_jobs(decode)
