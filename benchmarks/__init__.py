"""The benchmark: what a user gets, each figure beside the limit of the same machine in the same run."""
