"""Files: read within bounds, written whole or not at all; tables; folders of runs."""

from pathlib import Path

from core.files.reading import (
    FILE_NAME,
    MOST_TEXT_BYTES,
    is_file,
    is_file_name,
    is_utf8,
    parse_json,
    read_npz,
    read_text,
    real_path,
    require_regular,
    require_utf8,
    sha256_of_file,
)
from core.files.runs import RESULTS_DIR, final_run_folder, run_folder
from core.files.tables import as_cell, as_named, no_formula, own_name, write_csv
from core.files.writing import (
    alive,
    alone_in,
    atomic_path,
    made_folder,
    of_full_disk,
    partial_name,
    remove_left,
    require_writable,
    sync,
    told_if_full,
    told_if_temporary_full,
    write_json,
)

MODELS_DIR = Path("models")

__all__ = [
    "FILE_NAME",
    "MODELS_DIR",
    "MOST_TEXT_BYTES",
    "RESULTS_DIR",
    "alive",
    "alone_in",
    "as_cell",
    "as_named",
    "atomic_path",
    "final_run_folder",
    "is_file",
    "is_file_name",
    "is_utf8",
    "made_folder",
    "no_formula",
    "of_full_disk",
    "own_name",
    "parse_json",
    "partial_name",
    "read_npz",
    "read_text",
    "real_path",
    "remove_left",
    "require_regular",
    "require_utf8",
    "require_writable",
    "run_folder",
    "sha256_of_file",
    "sync",
    "told_if_full",
    "told_if_temporary_full",
    "write_csv",
    "write_json",
]
