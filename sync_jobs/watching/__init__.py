"""What people and their tools are told of the hub: its standing, its numbers, what needs somebody."""
