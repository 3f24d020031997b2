"""How an ensemble combines its members: the arithmetic and how it is tuned."""
