"""The doors: thin walls that turn a protocol's requests into calls of the namespace."""
