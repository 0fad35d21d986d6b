"""What `counterfoil connector new` makes: a whole small connector to begin with."""
