"""`python -m ensemble`: several models into one file."""

from core.cli import run
from ensemble.command import main

if __name__ == "__main__":
    run(main)
