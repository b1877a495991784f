"""pygal's chart classes, without the import hook that it installs.

The hook is for plugins with maps. It has the interface that Python 3.12 dropped, and on 3.11 makes every import that
fails, such as an optional module of another library, a warning.
"""

from __future__ import annotations

import sys

from pygal import Bar, DateTimeLine, PluginImportFixer

sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, PluginImportFixer)]

__all__ = ["Bar", "DateTimeLine"]
