"""A tour of the router on this machine, with two small real models and no key."""
