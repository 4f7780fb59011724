"""What is measured, as Prometheus reads it; loaded when somebody asks for it first."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from config.gauges import GAUGES, Counted, Values
from core.measures import COUNTERS, HISTOGRAMS
from core.metrics import MICRO, SUM, Histogram


class Found(Collector):
    """What was read, as metrics."""

    def __init__(self, values: Values, counted: Counted) -> None:
        self._values, self._counted = values, counted

    def collect(self) -> Iterator[Metric]:
        """Each metric; one with labels has no numbers before something was counted."""
        for name, gauge in GAUGES.items():
            family = GaugeMetricFamily(name, gauge.about, labels=[gauge.label] if gauge.label else [])
            for label, value in self._values.get(name, {}).items():
                family.add_metric([label] if gauge.label else [], value)
            yield family
        for name, counter in COUNTERS.items():
            counts = CounterMetricFamily(name, counter.about, labels=counter.labels)
            for labels, parts in self._of(name, counter.labels).items():
                counts.add_metric(labels, parts.get("", 0))
            yield counts
        for name, histogram in HISTOGRAMS.items():
            times = HistogramMetricFamily(name, histogram.about, labels=histogram.labels)
            for labels, parts in self._of(name, histogram.labels).items():
                times.add_metric(labels, _buckets(histogram, parts), parts.get(SUM, 0) / MICRO)
            yield times

    def _of(self, name: str, labels: tuple[str, ...]) -> Mapping[tuple[str, ...], Mapping[str, int]]:
        """What was counted of a metric; by an older version perhaps with other labels, which is left out."""
        counted = {given: parts for given, parts in self._counted.get(name, {}).items() if len(given) == len(labels)}
        return counted if labels or counted else {(): {}}


def _buckets(histogram: Histogram, parts: Mapping[str, int]) -> list[tuple[str, float]]:
    """How many took at most so long, for each bound."""
    total, found = 0, []
    for place, bound in enumerate([*map(str, histogram.bounds), "+Inf"]):
        total += parts.get(str(place), 0)
        found.append((bound, float(total)))
    return found


def page(values: Values, counted: Counted, accept: str) -> tuple[str, bytes]:
    """The media type that the client accepts, and the page."""
    encode, media = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Found(values, counted))
    return media, encode(registry)
