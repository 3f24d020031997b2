"""`python -m core.launch PARENT MODULE ARGUMENTS`: a module of ours in a child process that ends when its parent does."""

import runpy
import sys

from core.launch import end_with

if __name__ == "__main__":
    parent_id, module = sys.argv[1:3]
    end_with(int(parent_id))
    del sys.argv[:2]  # what is left is as `python -m MODULE ARGUMENTS` has it
    runpy.run_module(module, run_name="__main__", alter_sys=True)
