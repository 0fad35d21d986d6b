"""The pages: texts, charts, what they show, and a browser that walks them."""
