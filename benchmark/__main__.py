"""`python -m benchmark`: which model, or which ensemble, to deploy."""

from benchmark.command import main
from core.cli import run

if __name__ == "__main__":
    run(main)
