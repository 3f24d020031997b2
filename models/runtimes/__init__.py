"""One file per runtime that can run a model."""
