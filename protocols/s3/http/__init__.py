"""HTTP/1.1 for the S3 door: strict framing, streaming both ways with back-pressure, nothing of S3."""
