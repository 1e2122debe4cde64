"""The roof: setup, command line, configuration, composition and lifecycle of the house."""
