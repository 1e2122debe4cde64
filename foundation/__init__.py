"""The ground all rooms stand on: errors, the async seam, clock, crash points."""

__version__ = "0.1.0"
