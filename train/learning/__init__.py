"""How a network learns, whatever the framework: schedules, whitening filters, what a teacher says."""
