"""One of several processes that run a model at the same time: `python -m benchmark.settings.worker`.

The worker of the latency experiment, started and ended in step with the others: all timed calls of each are made while all
others are calling, too.
"""

from __future__ import annotations

import sys

from benchmark.latency.worker import measure
from core.launch.together import answer_together

if __name__ == "__main__":
    sys.exit(answer_together(measure))
