"""Who asks: one `authenticate` for every request, default deny."""
