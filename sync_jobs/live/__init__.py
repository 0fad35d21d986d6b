"""What sales ask while a customer waits: credit, stock and prices, live or kept, and the order that follows."""
