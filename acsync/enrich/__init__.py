"""Join records to their explanations and encode them for storage; all use of pandas."""
