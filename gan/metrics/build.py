"""Metrics of the registry, loaded by name, and their numbers."""

from functools import cache
from importlib import import_module

from gan.metrics.metric import Metric, Number
from gan.metrics.registry import METRICS


@cache
def load_metric(name: str) -> Metric:
    """Load the metric that the registry has under a name."""
    metric: Metric = import_module(METRICS[name]).METRIC
    return metric


@cache
def load_numbers() -> dict[str, Number]:
    """Load the numbers of all metrics, by their names, in the order of the registry."""
    return {number.name: number for name in METRICS for number in load_metric(name).numbers}


def number_of(name: str) -> Number:
    """Return the number with a name; one without meaning for an unknown name."""
    return load_numbers().get(name) or Number(name, name, "neither", "", "")
