"""The same application under Ray Serve: replicas in separate processes, on this machine or on a cluster."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import signal
import threading
from typing import TYPE_CHECKING

from core.console import print_note
from core.environment import available_cores, how_to_install
from core.errors import UserError, one_line
from core.files import real_path
from core.launch import own_environment
from serve.options import Options, names_of
from serve.repository import open_checked

if TYPE_CHECKING:
    from starlette.applications import Starlette

WAITING_PER_REPLICA = 1024  # requests that a replica holds at once: its own queue batches them, and refuses excess ones
QUIET = {"log_level": "ERROR"}
CLUSTER = "RAY_ADDRESS"  # as Ray reads it: a cluster's address; without it, one is started here


def serve_replicas(options: Options, n_replicas: int) -> int:
    """Serve until SIGTERM or Ctrl-C, then return 0; UserError if a package, enough cores or the port is missing.

    Each replica opens every model and has `options.threads` cores of its own, by default an equal share of this machine's.
    """
    if not options.port:
        raise UserError("--ray needs a port to be named; pass --port N, such as 8000")
    threads = options.threads or max(1, available_cores() // n_replicas)
    if CLUSTER not in os.environ and threads * n_replicas > available_cores():
        need = f"{n_replicas} replicas of {threads} threads need {threads * n_replicas} cores"
        raise UserError(f"{need}, and this machine has {available_cores()}; lower --ray or --threads, or set ${CLUSTER}")
    options = dataclasses.replace(options, models=tuple(real_path(path) for path in options.models), threads=threads)
    here = dataclasses.replace(options, threads=min(threads, available_cores()))
    for path in options.models:
        open_checked(path, here)  # report an invalid model here, not in a replica
    try:
        import ray
        from ray import serve
    except ImportError as error:  # `ray` alone comes without what `ray.serve` imports
        raise UserError(f"--ray needs {error.name}; install it with {how_to_install('cluster')}") from error
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    environment = {"env_vars": {"PYTHONPATH": own_environment()["PYTHONPATH"]}}
    ray.init(runtime_env=environment, logging_level=logging.ERROR, include_dashboard=False)
    try:
        serve.start(http_options={"host": options.host, "port": options.port}, logging_config=QUIET)
        deployment = serve.deployment(
            serve.ingress(_application(options))(),
            name="netassay",
            num_replicas=n_replicas,
            max_ongoing_requests=WAITING_PER_REPLICA,
            graceful_shutdown_timeout_s=math.ceil(options.timeout_s),
            ray_actor_options={"num_cpus": threads},
        )
        serve.run(deployment.bind(), name="netassay", logging_config=QUIET)
        at = f"http://{options.host}:{options.port}"
        names = ", ".join(names_of(options.models))
        print_note(f"serving {names} at {at} by {n_replicas} replicas of {threads} threads (page {at}/, API {at}/docs)")
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())  # only now: Ray installs its own handlers, which exit with its status
        stopped.wait()
        serve.shutdown()
    except (RuntimeError, ray.exceptions.RayError) as error:
        raise UserError(f"Ray Serve cannot serve the models: {one_line(error, 200)}; try it without --ray") from error
    finally:
        ray.shutdown()
    return 0


def _application(options: Options) -> object:
    """The function that each replica calls to build its application."""

    def application() -> Starlette:
        from serve.app import build

        return build(options)

    return application
