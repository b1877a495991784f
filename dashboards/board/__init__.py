"""The board: server-rendered web pages for the people who act."""
