"""One evaluation in parts, on any number of processes and machines: predictions of each shard, then one run from all."""
