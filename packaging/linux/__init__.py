"""Linux packages of the one-folder build: what all of them hold, and one module for each kind."""
