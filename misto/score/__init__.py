"""How good the rules are: their alerts against the truth of a simulated city."""
