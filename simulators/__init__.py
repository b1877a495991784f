"""A simulated city: physics, device models, publishing."""
