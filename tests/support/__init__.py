"""Small real-shaped parts that several tests use."""
