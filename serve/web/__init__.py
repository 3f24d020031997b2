"""HTTP itself: where to listen, what every request passes, how bodies are read."""
