"""What a model calls its outputs, and which of them mean which class of the data."""
