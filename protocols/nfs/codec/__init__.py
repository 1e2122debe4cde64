"""The bytes of ONC-RPC, MOUNT and NFSv3: bytes in, frozen values out, no I/O."""
