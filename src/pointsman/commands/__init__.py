"""Commands: what `pointsman` does from a terminal. One module for commands of like purpose."""
