"""`report.html`: one file that shows a run, or several beside each other, without network."""
