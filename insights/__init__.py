"""Pure functions over series: consumption from counters, collections, forecast."""
