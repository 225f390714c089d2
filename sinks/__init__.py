"""Where results rest: Redis, ClickHouse and their in-memory twins."""
