"""The Server scenario of MLPerf LoadGen: queries come at random times, whether or not earlier ones are answered."""
