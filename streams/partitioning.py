"""Which partition a key belongs to, as Java clients, Faust and librdkafka's `murmur2_random` have it."""

from functools import lru_cache

SEED = 0x9747B28C
MULTIPLIER = 0x5BD1E995
WORD = 0xFFFFFFFF


@lru_cache(65_536)
def partition_of(key: str, count: int) -> int:
    """Return the partition of a key on a topic of `count` partitions.

    >>> partition_of("foobar", 4)
    2
    """
    return (murmur2(key.encode()) & 0x7FFFFFFF) % count


def murmur2(key: bytes) -> int:
    """Return the hash of a key as Kafka's Java client computes it, as an unsigned 32-bit number.

    Source: Appleby's MurmurHash2, with the seed of org.apache.kafka.common.utils.Utils.
    """
    length = len(key)
    whole = length & ~3
    found = SEED ^ length
    for at in range(0, whole, 4):
        mixed = int.from_bytes(key[at : at + 4], "little") * MULTIPLIER & WORD
        mixed = (mixed ^ mixed >> 24) * MULTIPLIER & WORD
        found = found * MULTIPLIER & WORD ^ mixed
    if whole < length:
        found = (found ^ int.from_bytes(key[whole:], "little")) * MULTIPLIER & WORD
    found = (found ^ found >> 13) * MULTIPLIER & WORD
    return found ^ found >> 15
