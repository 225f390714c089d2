"""A processor's state as bytes and back."""

from typing import Any, Protocol

import msgspec

from processors.base import AnyProcessor


class StateCodec(Protocol):
    """Encodes the states of one processor."""

    def encode(self, state: Any) -> bytes:
        """Return a state as bytes."""
        ...

    def decode(self, blob: bytes) -> Any:
        """Return the state in bytes."""
        ...


def state_codec(processor: AnyProcessor) -> StateCodec:
    """Return the codec of a processor's state: structs as MessagePack, learners by their own snapshot."""
    state: Any = processor.state
    return _Structs(state) if issubclass(state, msgspec.Struct) else _Snapshots(state)


class _Structs:
    def __init__(self, state: Any) -> None:
        self.encode = msgspec.msgpack.Encoder().encode
        self.decode = msgspec.msgpack.Decoder(state).decode


class _Snapshots:
    def __init__(self, state: Any) -> None:
        self.encode = state.snapshot
        self.decode = state.restored
