"""How a machine is best used: how many processes of a model at the same time, and how many threads each."""
