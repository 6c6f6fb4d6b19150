"""Reads an interval log with the Python HdrHistogram library and prints each tag's figures as JSON."""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

totals = {}
starts = []
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 3_600_000_000, 3))
while True:
    interval = reader.get_next_interval_histogram()
    if interval is None:
        break
    starts.append(interval.get_start_time_stamp())
    total = totals.setdefault(interval.get_tag(), HdrHistogram(1, 3_600_000_000, 3))
    total.add(interval)

figures = {
    tag: {
        "n": total.get_total_count(),
        "p50_us": total.get_value_at_percentile(50),
        "p99_us": total.get_value_at_percentile(99),
        "p99_9_us": total.get_value_at_percentile(99.9),
        "max_us": total.get_max_value(),
        "mean_us": total.get_mean_value(),
    }
    for tag, total in totals.items()
}
json.dump({"start_s": reader.get_start_time_sec(), "starts_ms": starts, "tags": figures}, sys.stdout)
