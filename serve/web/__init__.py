"""HTTP itself: the listening socket, the middleware around every request, reading of bodies."""
