"""Labels that judge a data set in place of its own."""
