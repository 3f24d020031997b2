"""The few records, errors and files that every room shares; imports only the standard library and numpy at its top."""
