"""The NFS door: ONC-RPC, portmap, MOUNT and NFSv3."""
