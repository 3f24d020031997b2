"""What a run shows and keeps: tables, run folder, plots, terminal, advice."""
