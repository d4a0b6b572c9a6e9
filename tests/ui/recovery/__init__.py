"""What a person sees while Burrow heals its sign-in, and when it cannot: the real window on a real workspace."""
