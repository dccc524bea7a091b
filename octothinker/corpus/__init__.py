"""From web archives to training text. Each step reads and writes documents {"id", "text", "metadata"}."""
