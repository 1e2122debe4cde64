"""The kernel client lab: a real Linux NFS client that any test can have in two seconds.

Debian's `user-mode-linux` kernel runs as an ordinary process. Its root is this machine's own root, read only through
hostfs, under an overlay in the guest's memory: every program of this machine is in the guest, and nothing the guest
writes reaches this machine, save in folders shared on purpose. See README.md.
"""

from .client import KernelLab as KernelLab
from .guest import Guest as Guest
from .guest import Outcome as Outcome
from .layer import LabUnavailableError as LabUnavailableError
from .layer import Layer as Layer
from .layer import build_layer as build_layer
from .layer import find_layer as find_layer
