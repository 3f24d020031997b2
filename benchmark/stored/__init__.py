"""What a stored run must be to be believed."""
