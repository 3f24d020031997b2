"""Models behind HTTP: the V2 inference protocol for programs, a page for people, micro-batching and metrics (docs/serve.md)."""
