"""The operations of S3: decode, call the namespace, encode."""
