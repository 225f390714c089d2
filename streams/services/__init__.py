"""Local Kafka, Redis and ClickHouse: real servers as ordinary processes of one folder."""
