"""Charts that hold no data, no colour of their own beside the page's, and no address."""

import json
import re

from benchmark.report.html.charts import chart_specifications


def test_a_chart_reads_rows_and_brings_none() -> None:
    for name, chart in chart_specifications().items():
        text = json.dumps(chart)
        assert '"name": "rows"' in text, name
        assert sum(map(len, chart.get("datasets", {}).values())) <= 2, name
        assert "url" not in text.replace(chart["$schema"], "")


def test_colours_are_the_pages_own() -> None:
    for name, chart in chart_specifications().items():
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b", json.dumps(chart)), name
