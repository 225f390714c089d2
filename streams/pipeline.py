"""A pipeline: processors wired by the topics they read and write, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass

from processors.base import AnyProcessor
from schemas.records import AnyTopic


@dataclass(frozen=True)
class Pipeline:
    """The processors of a pipeline. Topics do the wiring; a topic that nobody here writes comes from outside.

    `unhurried` are the names of processors that nobody waits for: they may gather records before they step them.

    Raises ValueError when two processors share a name, or when the topics that one processor joins differ in their
    partition count.
    """

    processors: tuple[AnyProcessor, ...]
    unhurried: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        names = [processor.name for processor in self.processors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two processors are called {', '.join(sorted(twice))}; a name is an id, choose another")
        for processor in self.processors:
            counts = {topic.name: topic.partitions for topic in processor.inputs}
            if len(set(counts.values())) > 1:
                raise ValueError(
                    f"{processor.name} joins topics of different partition counts, {counts}: give them the same count"
                )

    @classmethod
    def joined(cls, parts: "Iterable[Pipeline]") -> "Pipeline":
        """Return several pipelines as one, whose processors hear each other where their topics meet."""
        parts = tuple(parts)
        processors = tuple(processor for part in parts for processor in part.processors)
        return cls(processors, frozenset(name for part in parts for name in part.unhurried))

    @property
    def outputs(self) -> tuple[AnyTopic, ...]:
        """Every topic some processor writes."""
        return tuple(dict.fromkeys(topic for processor in self.processors for topic in processor.outputs))

    @property
    def sources(self) -> tuple[AnyTopic, ...]:
        """Every topic read here that nobody here writes."""
        read = dict.fromkeys(topic for processor in self.processors for topic in processor.inputs)
        return tuple(topic for topic in read if topic not in self.outputs)

    @property
    def tables(self) -> tuple[AnyTopic, ...]:
        """Every topic some processor reads as a table."""
        return tuple(dict.fromkeys(topic for processor in self.processors for topic in processor.tables))

    def fed_by(self, processor: AnyProcessor) -> frozenset[str]:
        """Return the names of the processors that hear, through whatever many topics, of what a processor says."""
        reached: dict[str, AnyProcessor] = {}
        look = [processor]
        while look:
            for topic in look.pop().outputs:
                for reader in self.readers(topic):
                    if reader.name not in reached:
                        reached[reader.name] = reader
                        look.append(reader)
        return frozenset(reached)

    def ring(self, processor: AnyProcessor) -> frozenset[str]:
        """Return the other processors that hear of what a processor says and answer it: they should keep pace."""
        heard = self.fed_by(processor) - {processor.name}
        return frozenset(p.name for p in self.processors if p.name in heard and processor.name in self.fed_by(p))

    def readers(self, topic: AnyTopic) -> tuple[AnyProcessor, ...]:
        """Return the processors that read a topic."""
        return tuple(processor for processor in self.processors if topic in processor.inputs)

    def first_of(self, processor: AnyProcessor) -> frozenset[AnyTopic]:
        """Return the inputs that no processor before it reads: what is bad in a topic is told by its first reader."""
        return frozenset(topic for topic in processor.inputs if self.readers(topic)[:1] in ((), (processor,)))
