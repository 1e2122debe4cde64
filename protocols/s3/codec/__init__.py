"""The bytes of S3: keys, dates, XML, chunked bodies; no I/O."""
