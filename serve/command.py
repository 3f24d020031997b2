"""The command line of `python -m serve`; imports nothing slow before the arguments are validated."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.cli import MOST, USAGE, Parser, fraction, positive, within
from core.console import open_closed_streams, print_lines, print_note
from core.environment import available_cores, how_to_install, require_cores
from core.errors import UserError
from models.runtimes.registry import RUNTIMES
from serve.options import Options, names_of

API_KEY_VARIABLE = "NETASSAY_API_KEY"
NEEDED = ("httptools", "prometheus_client", "python_multipart", "starlette", "uvicorn")


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal comes; returns 0 once pending requests are answered."""
    has_stdout = open_closed_streams()
    values = vars(parser().parse_args(arguments))
    triton, n_replicas = values.pop("triton"), values.pop("ray")
    values["access_log"] = not values.pop("no_access_log") and has_stdout
    models = _models(values.pop("models"), values.pop("run"))
    options = Options(**values, **models)
    names_of(options.models)
    if triton is not None:
        from serve.triton import write_repository

        for folder in write_repository(options, triton):
            print_lines([str(folder)])
        print_lines([f"next: tritonserver --model-repository={triton} (docs/deploy.md)"])
        return 0
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"python -m serve needs {', '.join(missing)}; install them with {how_to_install('serve')}")
    if n_replicas is None and options.threads is not None:  # a cluster may have more cores
        require_cores(options.threads, available_cores())
    _require_runtime(options.runtime)
    if n_replicas is not None:
        from serve.replicas import serve_replicas

        return serve_replicas(options, n_replicas)
    from serve.web.server import serve

    return serve(options)


def _require_runtime(name: str) -> None:
    """UserError if a runtime other than the default cannot run here: what to install, or to leave out."""
    if name == Options.runtime:
        return
    from models.runtimes.base import module_of

    try:
        module_of(RUNTIMES[name]).provider(RUNTIMES[name])
    except UserError as error:
        raise UserError(f"--runtime {name}: {error}; or leave out --runtime {name}") from error


def _models(named: Sequence[Path], run_folder: Path | None) -> dict[str, Any]:
    """The files to serve, each once, and the thresholds of a run."""
    models = tuple(dict.fromkeys(named))
    if len(models) < len(named):
        print("note: a model is named twice; it is served once", file=sys.stderr)
    if run_folder is None:
        if not models:
            raise UserError(
                "there is no model to serve; name contract files, or a run of the benchmark with --run", exit_code=USAGE
            )
        return {"models": models}
    from serve.runs import HOW, files_of, read_run

    run = read_run(run_folder)
    if not run.thresholds:
        print_note(f"note: {run_folder} has no thresholds for 'not sure'; {HOW}")
    return {"models": models or files_of(run, run_folder), "thresholds": run.thresholds}


def parser() -> argparse.ArgumentParser:
    """The parser; each flag's help states its default."""
    default = Options(())
    command = Parser(
        prog="python -m serve",
        description="ONNX classifiers behind HTTP: the V2 inference protocol (KServe, Triton), POST /predict for image files, "
        "and a page to try them.",
        epilog="Every command also takes --traceback, which shows the cause of an error. More: docs/serve.md",
    )
    add = command.add_argument
    runtimes = [name for name, runtime in RUNTIMES.items() if runtime.runs == ".onnx"]
    add("models", type=Path, nargs="*", metavar="MODEL.onnx", help="contract files; a model's name is its file's, without .onnx")
    add(
        "--run",
        type=Path,
        metavar="DIR",
        help="folder of a benchmark: its models, if none is named, and its thresholds for 'not sure' (--max-error)",
    )
    add("--host", default=default.host, help="address to listen on; 0.0.0.0 for other machines too (%(default)s)")
    add("--port", type=_port, default=default.port, help="0 takes any free one (%(default)s)")
    add("--runtime", choices=runtimes, default=default.runtime, help="what runs the models: %(choices)s (%(default)s)")
    add("--threads", type=positive, metavar="N", help="threads per run; the cores this process may use if not given")
    add(
        "--max-batch",
        type=positive,
        default=default.max_batch,
        metavar="N",
        help="most images per run, and per request (%(default)s)",
    )
    add(
        "--max-delay-ms",
        type=_not_negative,
        default=default.max_delay_ms,
        metavar="X",
        help="how long a batch that is not full waits for more images; 0: it runs at once (%(default)s)",
    )
    add(
        "--max-waiting",
        type=positive,
        default=default.max_waiting,
        metavar="N",
        help="images that may wait for a model; above it the answer is 503 (%(default)s)",
    )
    add(
        "--timeout",
        dest="timeout_s",
        type=_above_zero,
        default=default.timeout_s,
        metavar="S",
        help="timeout of a request, in seconds (%(default)s)",
    )
    add("--max-body-mb", type=_above_zero, default=default.max_body_mb, metavar="MB", help="per request (%(default)s)")
    add("--max-megapixels", type=_above_zero, default=default.max_megapixels, metavar="MP", help="per image file (%(default)s)")
    add(
        "--api-key",
        default=os.environ.get(API_KEY_VARIABLE) or None,
        metavar="KEY",
        help=f"requests must carry it (X-API-Key or Authorization: Bearer); better in ${API_KEY_VARIABLE}, which ps does not show",
    )
    add(
        "--unsure-below",
        type=fraction,
        default=default.unsure_below,
        metavar="P",
        help="top probability below which the answer is 'not sure', if neither --run nor the card has a threshold (%(default)s)",
    )
    add(
        "--reload-every",
        dest="reload_every_s",
        type=_not_negative,
        default=default.reload_every_s,
        metavar="S",
        help="seconds between checks for a changed file; 0: never (%(default)s)",
    )
    add("--no-access-log", action="store_true", help="print no line per request")
    add("--ray", type=positive, metavar="N", help="serve by N replicas under Ray Serve, here or on the cluster of $RAY_ADDRESS")
    add("--triton", type=Path, metavar="DIR", help="serve nothing: write the models into DIR as NVIDIA Triton loads them")
    return command


def _port(text: str) -> int:
    return int(within(text, int, 0, 65535, "a port from 0 to 65535"))


def _not_negative(text: str) -> float:
    return within(text, float, 0, MOST, f"a number from 0 to {MOST:.0f}")


def _above_zero(text: str) -> float:
    return within(text, float, 1 / MOST, MOST, f"a number from {1 / MOST:f} to {MOST:.0f}")
