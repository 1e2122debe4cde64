"""The protocol between gateway and node, as bytes and values: no I/O in here."""
