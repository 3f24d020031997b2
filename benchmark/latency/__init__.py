"""The latency experiment: schedule, child processes, samples, summaries and verdicts."""
