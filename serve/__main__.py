"""`python -m serve`: contract files behind HTTP."""

from core.cli import run
from serve.command import main

if __name__ == "__main__":
    run(main)
