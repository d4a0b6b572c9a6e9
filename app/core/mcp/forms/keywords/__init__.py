"""What each keyword of JSON Schema says of a value, and the words for it."""
