"""The house's logger: rooms that may not import Twisted log through this name."""

from twisted.logger import Logger as Logger
