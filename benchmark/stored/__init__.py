"""Whether a stored run is valid."""
