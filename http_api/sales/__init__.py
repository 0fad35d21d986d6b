"""Routes for sales: accounts, credit, products, stock, prices, orders."""
