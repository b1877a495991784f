"""The board's pages: each function takes a `Visit` and gives the answer."""
