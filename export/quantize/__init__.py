"""`python -m export.quantize`: INT8 and float16 variants, judged against their base; one file per method."""
