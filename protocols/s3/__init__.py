"""The S3 door: HTTP/1.1, signatures, XML and the S3 operations."""
