"""`misto demo`: a whole simulated city on this machine."""

from misto.demo.run import Demo
from misto.demo.supervisor import DemoError

__all__ = ["Demo", "DemoError"]
