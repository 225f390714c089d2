"""The words: messages, topics and records."""
