"""Hostile folders of images, tables, stored runs, predictions and cards of weights."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.world import CLASSES, Case, World, benchmark, copied, damaged
from tests.tiny_models import tiny_card

Make = Callable[[Path, Random, World], list[str]]
HOSTILE_NAMES = (
    "=cmd|'calc'!A1",
    "+1+1",
    "@SUM(1)",
    "-2+3",
    "a\x1b]0;x\x07b",
    "\x1b[2Jgone",
    "a'b\"c",
    "[bold]x[/]",
    "$(id)",
    "naïve – 猫",
)


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG that claims a size, with as little in it as `body`."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def _jpeg(random: Random) -> bytes:
    held = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(held, "JPEG")
    return damaged(held.getvalue(), random)


IMAGES: dict[str, Callable[[Random], bytes]] = {
    "empty": lambda _: b"",
    "noise": lambda random: random.randbytes(200),
    "bomb": lambda _: png(60_000, 60_000),
    "claims": lambda _: png(2**31 - 1, 2**31 - 1),
    "zero": lambda _: png(0, 0),
    "thin": lambda _: png(1, 60_000, bytes(4 * 60_000)),
    "jpeg": _jpeg,
    "eps": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch ran) system\n",
    "svg": lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "ppm": lambda _: b"P6 99999999 99999999 255\n",
    "gif": lambda random: b"GIF89a" + random.randbytes(60),
    "tiff": lambda random: b"II*\x00\x08\x00\x00\x00" + random.randbytes(90),
    "webp": lambda random: b"RIFF\xff\xff\xff\x7fWEBPVP8 " + random.randbytes(60),
    "avif": lambda random: b"\x00\x00\x00\x20ftypavif" + random.randbytes(60),
}


def image(kind: str, command: str) -> Make:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        photos = copied(world.photos, folder)
        (photos / "test" / "ant" / f"bad.{random.choice(('png', 'jpg', 'gif'))}").write_bytes(IMAGES[kind](random))
        return _data(command, photos, world)

    return make


def _data(command: str, photos: Path, world: World) -> list[str]:
    if command == "data":
        return ["show", str(photos)]
    return ["--models", str(world.model), "--data", str(photos), "--time-budget", "0", "--no-report"]


def _pipe(photos: Path, random: Random, world: World) -> None:
    os.mkfifo(photos / "test" / "ant" / "x.jpg")


def _socket(photos: Path, random: Random, world: World) -> None:
    here = os.getcwd()
    os.chdir(photos / "test" / "ant")  # the address of a socket may have 108 bytes
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("x.jpg")
    os.chdir(here)


def _device(photos: Path, random: Random, world: World) -> None:
    (photos / "test" / "ant" / "x.jpg").symlink_to("/dev/zero")


def _circle(photos: Path, random: Random, world: World) -> None:
    (photos / "test" / "ant" / "round").symlink_to(photos)
    (photos / "test" / "ant" / "self.png").symlink_to("self.png")


def _folder_called_image(photos: Path, random: Random, world: World) -> None:
    (photos / "test" / "ant" / "x.jpg").mkdir()


def _hostile_class(photos: Path, random: Random, world: World) -> None:
    (photos / "test" / "ant").rename(photos / "test" / random.choice(("a\x1b[2J", "a\nb", "\x07")))


def _hostile_file(photos: Path, random: Random, world: World) -> None:
    (photos / "test" / "ant" / f"{random.choice(HOSTILE_NAMES).replace('/', '')}.png").write_bytes(b"no image")


def _no_images(photos: Path, random: Random, world: World) -> None:
    for path in (photos / random.choice(("train", "test"))).rglob("*.png"):
        path.unlink()


def _table(photos: Path, random: Random, world: World) -> None:
    rows = random.choice((f"file,label\n{world.secret},ant\ntest/bee/0.png,bee\n", "file,label\n../../outside/secret.bin,ant\n",
                          "file,label\n" + "x," * 10**5, "file,label\ntest/ant/0.png,=1+1\n", "file\n\n", "", '"' * 9999,
                          "file,label\n/dev/zero,ant\n"))  # fmt: skip
    (photos / "metadata.csv").write_text(rows)


def _jsonl(photos: Path, random: Random, world: World) -> None:
    (photos / "test" / "metadata.jsonl").write_text(random.choice(("[" * 99_999, "{}", '{"file_name": 5, "label": []}', "nul")))


FOLDERS = (_pipe, _socket, _device, _circle, _folder_called_image, _hostile_class, _hostile_file, _no_images, _table, _jsonl)


def folder_of(change: Callable[[Path, Random, World], None], command: str) -> Make:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        photos = copied(world.photos, folder)
        change(photos, random, world)
        return _data(command, photos, world)

    return make


def stored_run(part: str, command: str) -> Make:
    """A run of which one file is damaged, or its record changed."""

    def make(folder: Path, random: Random, world: World) -> list[str]:
        run = copied(world.run, folder)
        path = run / part
        if random.random() < 0.2:
            path.unlink()
            if random.random() < 0.5:
                os.mkfifo(path)
        elif part == "run.json" and random.random() < 0.6:
            path.write_text(_damaged_record(path.read_text(), random))
        elif part.endswith(".csv") and random.random() < 0.6:
            lines = path.read_text().splitlines()
            place = random.randrange(len(lines))
            lines[place] = random.choice(
                ("", "a,b", "=1+1," * 9, '"', lines[place] + ",more", lines[place].replace("m", "\x1b[2J"))
            )
            path.write_text("\n".join(lines))
        elif part.endswith(".npz") and random.random() < 0.6:
            _damaged_predictions(path, random)
        else:
            path.write_bytes(damaged(path.read_bytes(), random))
        return {"compare": ["compare", str(run), str(world.run)], "report": ["report", str(run), "--out", "page.html"],
                "serve": ["--run", str(run)]}[command]  # fmt: skip

    return make


def _damaged_record(text: str, random: Random) -> str:
    run = json.loads(text)
    name = random.choice(list(run))
    run[name] = random.choice(
        (None, 5, "x", [], {}, [None], [{"name": "../../outside/secret"}], {"name": 3}, [{"name": "\x1b[2J"}])
    )
    return random.choice((json.dumps(run), json.dumps(run), "[" * 99_999, text[:-9], "{" + " " * (70 * 2**20)))


def _damaged_predictions(path: Path, random: Random) -> None:
    logits, labels = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32), np.zeros(400, np.int64)
    how = random.choice(("nan", "few", "labels", "claim", "objects", "text", "bomb"))
    if how == "claim":
        header = (
            np.lib.format.magic(1, 0)
            + b"\x76\x00"
            + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117)
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("logits.npy", header + b"\n")
            archive.writestr("labels.npy", header + b"\n")
        return
    if how == "bomb":
        np.savez_compressed(path, logits=np.zeros((10**8, 1), np.float32), labels=labels)
        return
    held = {"nan": (logits * np.nan, labels), "few": (logits[:3], labels), "labels": (logits, labels + 99), "objects":
            (np.array([{}, []], dtype=object), labels), "text": (np.array(["a"]), labels)}[how]  # fmt: skip
    np.savez(path, logits=held[0], labels=held[1], allow_pickle=True)


def predictions(command: str = "benchmark") -> Make:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        path = folder / f"p.{random.choice(('npz', 'csv'))}"
        rows = "index,label," + ",".join(CLASSES) + "\n" + "".join(f"{i},ant,1,2,3\n" for i in range(12))
        if path.suffix == ".csv":
            others = (("3", "nan"), ("1,2", "=1,2"), ("5,ant", "5,\x1b[2J"))
            changed = [rows.replace(old, new).encode() for old, new in others]
            path.write_bytes(random.choice((damaged(rows.encode(), random), b"", b"\x00" * 99, *changed)))
        else:
            _damaged_predictions(path, random)
        if random.random() < 0.1:
            path.unlink()
            os.mkfifo(path)
        return ["--predictions", f"x={path}", "--data", str(world.photos), "--time-budget", "0", "--no-report"]

    return make


def labels() -> Make:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        rows = "".join(f"test/{name}/{number}.png,{name}\n" for name in CLASSES for number in range(4))
        array, kept = io.BytesIO(), io.BytesIO()
        np.save(array, np.eye(3)[np.arange(12) // 4])
        own = np.arange(12) // 4
        with zipfile.ZipFile(kept, "w") as archive:
            archive.writestr("human/data.pkl", pickle.dumps({"clean_label": own, "aggre_label": own}, protocol=2))
        held = {"csv": f"file,label\n{rows}".encode(), "npy": array.getvalue(), "pt": kept.getvalue()}
        kind = random.choice(tuple(held))
        path = folder / f"labels.{kind}"
        path.write_bytes(damaged(held[kind], random))
        return benchmark(world.model, world, "--labels", str(path))

    return make


def weights_card() -> Make:
    """Weights whose card is hostile: refused before any framework is imported."""

    def make(folder: Path, random: Random, world: World) -> list[str]:
        weights = folder / f"w.{random.choice(('pth', 'keras'))}"
        weights.write_bytes(b"nothing")
        card = json.loads(tiny_card("w").to_json())
        card[random.choice(list(card))] = random.choice((5, None, [], {}, "\x1b[2J", [[1]], 10**30, -1.5))
        card["backend"] = random.choice((5, "other", [], "\x1b[2J"))
        text = json.dumps(card)
        Path(f"{weights}.json").write_bytes(
            random.choice((text.encode(), text.encode(), damaged(text.encode(), random)[:-1], b"[" * 99_999, b"\xff\xfe", b""))
        )
        if random.random() < 0.2:
            Path(f"{weights}.json").unlink()
            os.mkfifo(f"{weights}.json")
        return [str(weights), "--out", "made"]

    return make


def hostile_names() -> Make:
    """Models of hostile names, measured whole: their names must reach neither the terminal nor a spreadsheet as commands."""

    def make(folder: Path, random: Random, world: World) -> list[str]:
        name = random.choice(HOSTILE_NAMES)
        path = folder / f"{name.replace('/', '')}.onnx"
        path.write_bytes(world.model.read_bytes())
        return ["--models", str(path), str(world.other_model), "--ensemble", "--data", str(world.photos), "--time-budget", "0",
                "--no-report"]  # fmt: skip

    return make


def not_a_file(kind: str) -> Make:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        path = folder / "hostile.onnx"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to({"device": "/dev/zero", "circle": "hostile.onnx", "nowhere": "nothing"}[kind])
        return ["--models", str(path), "--data", str(world.photos), "--time-budget", "0", "--no-report"]

    return make


def cases(count: int) -> Iterator[Case]:
    """`count` of these, each kind about equally often."""
    both = ("data", "benchmark")
    parts = ("run.json", "comparison.csv", "predictions/m.npz", "latency_samples.csv.gz", "run.json")
    irregular = ("pipe", "folder", "device", "circle", "nowhere")
    kinds = [
        *(("image", f"image {kind}", command, image(kind, command), False) for kind in IMAGES for command in both),
        *(("folder", change.__name__, command, folder_of(change, command), False) for change in FOLDERS for command in both),
        *(
            ("stored run", f"{part} {command}", "benchmark", stored_run(part, command), False)
            for part in parts
            for command in ("compare", "report")
        ),
        *(("stored run", "run.json serve", "serve", stored_run("run.json", "serve"), True) for _ in range(2)),
        *(("predictions", "predictions", "benchmark", predictions(), False) for _ in range(6)),
        *(("labels", "labels", "benchmark", labels(), False) for _ in range(6)),
        *(("card beside weights", "card", "export.to_onnx", weights_card(), True) for _ in range(6)),
        *(("hostile names", "names", "benchmark", hostile_names(), False) for _ in range(2)),
        *(("no regular file", kind, "benchmark", not_a_file(kind), True) for kind in irregular),
    ]
    for index in range(count):
        kind, name, command, make, must_fail = kinds[index * 7 % len(kinds)]
        yield Case(kind, f"{name} {index}", command, make, must_fail)
