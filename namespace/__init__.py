"""The hall: every rule of the file system, once, for both doors."""
