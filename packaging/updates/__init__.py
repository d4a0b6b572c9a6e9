"""Publishing updates: the signed repository, and whom a build trusts."""
