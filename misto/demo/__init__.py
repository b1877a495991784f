"""`misto demo`: a whole simulated city on this machine."""

from misto.demo.run import Demo, DemoError

__all__ = ["Demo", "DemoError"]
