"""What a page holds: models and what they say, pairs, galleries with their pictures, confidence, speed."""
