"""One evaluation in parts, on as many processes and machines as there are: predictions of each shard, then one run of all."""
