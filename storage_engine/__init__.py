"""The room of bodies: immutable blobs on replicated storage nodes."""
